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
type sha2Key struct {
	ssh.PublicKey
	algorithm string
}

func (k sha2Key) Type() string { return k.algorithm }

// A chosenSigner is an RSA signer that knows some algorithms alone. For ssh-rsa
// it is a key of its own: OpenSSH lists SHA-2 also when its configuration refuses
// it, so that the old way has to be tried by itself.
type chosenSigner struct {
	ssh.MultiAlgorithmSigner
	algorithms []string
}

func (s chosenSigner) PublicKey() ssh.PublicKey {
	key := s.MultiAlgorithmSigner.PublicKey()
	if s.algorithms[0] == ssh.KeyAlgoRSA {
		return key
	}
	return sha2Key{key, s.algorithms[0]}
}

func (s chosenSigner) Algorithms() []string { return s.algorithms }

// present wraps an RSA signer for one offer with these algorithms.
func present(s ssh.Signer, algorithms []string) ssh.Signer {
	multi, ok := s.(ssh.MultiAlgorithmSigner)
	if !ok || s.PublicKey().Type() != ssh.KeyAlgoRSA || len(algorithms) == 0 {
		return s
	}
	return chosenSigner{multi, algorithms}
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
