// Package desktop shows a notice on the user's desktop, by org.freedesktop.Notifications
// on the user's own bus.
//
// The bus is the one the environment names, if that is a socket of this machine, or the
// one in the user's runtime folder; none is started. A desktop that is not there, or
// does not answer, is an error to pass over: nothing may wait for it for long.
package desktop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// patience bounds the whole of a notice.
const patience = 3 * time.Second

// A Notice is one to show. Its texts are plain; what the desktop would take for markup
// is escaped on the way.
type Notice struct {
	Title, Text string
	Urgent      bool // it stays until it is taken away
}

// ErrNoBus: there is no desktop.
var ErrNoBus = errors.New("no bus of a desktop session")

// Address is where the user's own bus is.
func Address(getenv func(string) string) (string, error) {
	if address := getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		if !strings.HasPrefix(address, "unix:") {
			return "", fmt.Errorf("%w: DBUS_SESSION_BUS_ADDRESS is no socket of this machine", ErrNoBus)
		}
		return address, nil
	}
	socket := filepath.Join(getenv("XDG_RUNTIME_DIR"), "bus")
	if info, err := os.Stat(socket); err != nil || !filepath.IsAbs(socket) || info.Mode()&os.ModeSocket == 0 {
		return "", ErrNoBus
	}
	return "unix:path=" + dbus.EscapeBusAddressValue(socket), nil
}

// Show shows a notice.
func Show(ctx context.Context, address string, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("desktop notice: %w", err)
	}
	defer func() { _ = conn.Close() }() // all is said
	urgency := map[bool]byte{false: 1, true: 2}[n.Urgent]
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency), "category": dbus.MakeVariant("network.error")}
	// It replaces no other, has no buttons, and stays as long as the desktop likes.
	call := conn.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications").CallWithContext(ctx,
		"org.freedesktop.Notifications.Notify", 0,
		"remotemount", uint32(0), "dialog-warning", n.Title, escape(n.Text), []string{}, hints, int32(-1))
	if call.Err != nil {
		return fmt.Errorf("desktop notice: %w", call.Err)
	}
	return nil
}

// escape: the text of a notice may have markup in it, by the specification.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(strings.ToValidUTF8(text, "\uFFFD"))
}
