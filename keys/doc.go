// Package keys answers two questions before a byte of a file is moved: is this
// the server we mean, and how do we show who we are?
//
// # Who the server is
//
// A Client checks the host key of every connection, jump hosts included. A key
// is right when it was given up front (a pin), or when it stands in a
// known_hosts file, plainly or through a certificate authority. A host that no
// file knows is stored on first contact, asked about, or refused, as the Policy
// says. A host whose key is another than the one on file is disabled: the fact
// is written to a file of ours, and from then on every connection to it is
// refused, also when the old key comes back, until a person has compared
// fingerprints and called Accept. Otherwise a man in the middle who hides when
// looked for would win by waiting. x/crypto/ssh checks the host key before any
// authentication data leaves, so a wrong server learns nothing.
//
// # Who we are
//
// Credentials are offered in the order people know from ssh: certificates,
// keys the agent holds of the identities named, the identities themselves, the
// agent's other keys, then keyboard-interactive, then a password. The number of
// attempts stays under what servers allow (MaxAuthTries, 6 with OpenSSH),
// because the server answers one too many by hanging up, and counts it against
// our address. What a person typed is kept in memory so that a connection can
// be made again without asking, and is thrown away as soon as a server refuses
// it. Nothing secret is logged at any level, put in an argument, or in an
// environment.
//
// # Key files
//
// Parse reads every private key format in use: OpenSSH with all its ciphers,
// PEM, PKCS #8, PuTTY's PPK 2 and 3, and ssh.com's SSH2. All of them are
// hostile input: lengths, costs of key derivation and integers are bounded, and
// a wrong passphrase, a damaged file and an unsupported form are different
// errors. Marshal writes OpenSSH, PEM, PKCS #8 and PPK 3.
//
// # What is left out on purpose
//
// GSSAPI, host-based authentication, hardware keys outside an agent, host keys by
// DNS (SSHFP) and by KnownHostsCommand, and binary KRL files.
package keys
