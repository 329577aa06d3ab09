package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys"
)

// hostkeyAccept makes a key the host's. With --fingerprint the comparison was
// made by the person who gives it, and the server is asked only when we do not
// hold the key already; without, the person is asked.
func hostkeyAccept(c *cli.Context) error {
	client, err := newHostClient(c)
	if err != nil {
		return err
	}
	ctx, stop := scanTime(c)
	defer stop()
	name := client.Settings().HostKeyName
	var key ssh.PublicKey
	if wanted := c.String("fingerprint"); wanted != "" {
		if wanted, err = normalFingerprint(wanted); err == nil {
			key, err = findFingerprint(ctx, client, wanted)
		}
	} else {
		key, err = askToAccept(ctx, c, client)
	}
	if err != nil {
		return err
	}
	if err := client.Hosts().Accept(name, key); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.ErrWriter, "remotemount: %s: %s is accepted\n", name, keys.Describe(key))
	return err
}

func normalFingerprint(s string) (string, error) {
	hash := strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(s), "SHA256:"), "=")
	if raw, err := base64.RawStdEncoding.DecodeString(hash); err != nil || len(raw) != 32 {
		return "", usage("--fingerprint %s: not a SHA-256 fingerprint (SHA256:...)", oneLine(s))
	}
	return "SHA256:" + hash, nil
}

// findFingerprint looks for the key among what the host was disabled for, what
// is on file (the old key came back), and what the server shows.
func findFingerprint(ctx context.Context, client *hostClient, wanted string) (ssh.PublicKey, error) {
	name := client.Settings().HostKeyName
	d, err := client.Hosts().DisabledHost(name)
	if err != nil {
		return nil, err
	}
	if d != nil && ssh.FingerprintSHA256(d.New) == wanted {
		return d.New, nil
	}
	known, err := client.Hosts().Lookup(name)
	if err != nil {
		return nil, err
	}
	for _, k := range known {
		if ssh.FingerprintSHA256(k.Key) == wanted && !k.Authority && !k.Revoked {
			return k.Key, nil
		}
	}
	shown, err := client.scan(ctx)
	if err != nil {
		return nil, err
	}
	var seen []string
	for _, key := range shown {
		if ssh.FingerprintSHA256(key) == wanted {
			return key, nil
		}
		seen = append(seen, keys.Describe(key))
	}
	return nil, fail(exitHostKey, fmt.Errorf("%s has no key with the fingerprint %s; it shows %s", name, oneLine(wanted), strings.Join(seen, ", ")),
		"compare again with the administrator of the server")
}

func askToAccept(ctx context.Context, c *cli.Context, client *hostClient) (ssh.PublicKey, error) {
	name := client.Settings().HostKeyName
	p := newPrompter()
	if p == nil {
		return nil, fail(exitHostKey, fmt.Errorf("accept %s: there is nobody to compare the fingerprint", name),
			"remotemount hostkey accept "+client.target.hostWords(name, name, true)+" --fingerprint SHA256:...")
	}
	d, err := client.Hosts().DisabledHost(name)
	if err != nil {
		return nil, err
	}
	shown, err := client.scan(ctx)
	if err != nil {
		return nil, err
	}
	key, question := shown[0], ""
	if d != nil {
		key = d.New
		question = fmt.Sprintf("The host key of %s was %s.\n", name, strings.Join(d.Old, " or "))
		if !contains(shown, key) {
			question += fmt.Sprintf("It is disabled because another one was seen; now it shows %s.\n", keys.Describe(shown[0]))
			key = shown[0]
		}
	}
	question += fmt.Sprintf("%s shows the key\n  %s\nIs that the fingerprint its administrator gave you (yes, no)? ", name, keys.Describe(key))
	answer, err := p.Ask(c.Context, keys.Prompt{Text: question, Echo: true, Confirm: true})
	if err != nil {
		return nil, err
	}
	answer = strings.TrimSpace(answer)
	if !strings.EqualFold(answer, "yes") && answer != ssh.FingerprintSHA256(key) {
		return nil, fail(exitHostKey, errNotAccepted, "")
	}
	return key, nil
}

func contains(list []ssh.PublicKey, key ssh.PublicKey) bool {
	for _, k := range list {
		if string(k.Marshal()) == string(key.Marshal()) {
			return true
		}
	}
	return false
}
