package keys

import (
	"crypto"
	"io"

	"golang.org/x/crypto/ssh"
)

// signatureAlgorithms gives what a key of this type signs with. RSA signs with
// SHA-2; SHA-1 only when it was asked for.
func signatureAlgorithms(keyType string, sha1 bool) []string {
	if keyType != ssh.KeyAlgoRSA {
		return []string{keyType}
	}
	algorithms := []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	if sha1 {
		algorithms = append(algorithms, ssh.KeyAlgoRSA)
	}
	return algorithms
}

// newSigner makes a signer of a private key that follows signatureAlgorithms.
func newSigner(private crypto.PrivateKey, sha1 bool) (ssh.Signer, error) {
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, unsupported("%v", err)
	}
	with, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return signer, nil
	}
	return ssh.NewSignerWithAlgorithms(with, signatureAlgorithms(signer.PublicKey().Type(), sha1))
}

// sha2Key makes an RSA key present itself as an rsa-sha2-256 key. The library
// signs with SHA-1 when a server has not listed its algorithms (RFC 8308), as
// many SFTP products have not; such servers mostly do take SHA-2 when it is
// simply used, and nothing here should sign with SHA-1 unasked.
type sha2Key struct{ ssh.PublicKey }

func (sha2Key) Type() string { return ssh.KeyAlgoRSASHA256 }

// sha2Signer presents an RSA signer with an sha2Key.
type sha2Signer struct{ ssh.MultiAlgorithmSigner }

func (s sha2Signer) PublicKey() ssh.PublicKey { return sha2Key{s.MultiAlgorithmSigner.PublicKey()} }

func (s sha2Signer) Algorithms() []string { return signatureAlgorithms(ssh.KeyAlgoRSA, false) }

// sha1Signer presents an RSA signer as one that knows only ssh-rsa. OpenSSH
// lists SHA-2 also when its configuration refuses it, so that the old way has
// to be tried as a key of its own.
type sha1Signer struct{ ssh.MultiAlgorithmSigner }

func (sha1Signer) Algorithms() []string { return []string{ssh.KeyAlgoRSA} }

// present wraps an RSA signer for one offer.
func present(s ssh.Signer, sha1 bool) ssh.Signer {
	multi, ok := s.(ssh.MultiAlgorithmSigner)
	switch {
	case !ok || s.PublicKey().Type() != ssh.KeyAlgoRSA:
		return s
	case sha1:
		return sha1Signer{multi}
	}
	return sha2Signer{multi}
}

// A watchedSigner reports each signature made, or not made.
type watchedSigner struct {
	ssh.MultiAlgorithmSigner
	report func(error)
}

func (w watchedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	sig, err := w.MultiAlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	w.report(err)
	return sig, err
}

func watchSigner(s ssh.Signer, report func(error)) ssh.Signer {
	if multi, ok := s.(ssh.MultiAlgorithmSigner); ok {
		return watchedSigner{multi, report}
	}
	return s
}
