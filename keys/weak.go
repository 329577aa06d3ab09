package keys

import (
	"fmt"

	"golang.org/x/crypto/ssh"
)

// leastRSA is how long an RSA key must be, unless RequiredRSASize says another
// number. OpenSSH's own is 1024, which can be broken by those who want to pay.
const leastRSA = 2048

// A WeakKeyError is an RSA key that is too short to prove anything.
type WeakKeyError struct{ Bits, Least int }

func (e *WeakKeyError) Error() string {
	return fmt.Sprintf("its RSA key has %d bits, and %d are asked for (-o RequiredRSASize=%d takes it)", e.Bits, e.Least, e.Bits)
}

// longEnough refuses an RSA key that is too short, in a certificate as well.
func (c *Client) longEnough(key ssh.PublicKey) error {
	if plainKey(key).Type() != ssh.KeyAlgoRSA {
		return nil
	}
	least := leastRSA
	if c.ssh.Value("requiredrsasize") != "" {
		least = c.number("requiredrsasize")
	}
	if bits := Bits(key); bits < least {
		return &WeakKeyError{Bits: bits, Least: least}
	}
	return nil
}
