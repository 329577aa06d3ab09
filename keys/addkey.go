package keys

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh/agent"
)

// addToAgent puts a key that was just read into the agent, as AddKeysToAgent asks.
// It is a service beside the login: that it fails is logged and no more.
func (c *Client) addToAgent(ctx context.Context, key *Key, source string) {
	how := c.ssh.List("addkeystoagent")
	socket := c.agentSocket()
	if len(how) == 0 || how[0] == "no" || socket == "" {
		return
	}
	added := agent.AddedKey{PrivateKey: key.Private, Comment: source, ConfirmBeforeUse: how[0] == "confirm"}
	if seconds, err := strconv.ParseUint(how[len(how)-1], 10, 32); err == nil {
		added.LifetimeSecs = uint32(seconds)
	}
	if how[0] == "ask" {
		answer, err := c.ask(ctx, Prompt{Text: fmt.Sprintf("Add the key %s to the agent (yes, no)? ", source), Echo: true, Confirm: true})
		if err != nil || !strings.EqualFold(strings.TrimSpace(answer), "yes") {
			return
		}
	}
	err := withAgent(ctx, socket, agentListTime, func(a agent.ExtendedAgent) error {
		held, err := a.List()
		if err != nil {
			return err
		}
		for _, k := range held {
			if string(k.Blob) == string(key.Public().Marshal()) {
				return nil
			}
		}
		return a.Add(added)
	})
	if err != nil && !errors.Is(err, ctx.Err()) {
		c.cfg.Log.Warn("the key could not be added to the agent", "key", source, "error", err)
	}
}
