package keys

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// A lockedSigner is a key file whose public half is known and whose private
// half is still encrypted. It asks for the passphrase when it must sign.
type lockedSigner struct {
	ctx context.Context
	id  *identity
}

var _ ssh.MultiAlgorithmSigner = (*lockedSigner)(nil)

func (s *lockedSigner) PublicKey() ssh.PublicKey { return s.id.public }

func (s *lockedSigner) Algorithms() []string {
	return signatureAlgorithms(s.id.public.Type(), s.id.sha1Also())
}

func (s *lockedSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, s.Algorithms()[0])
}

func (s *lockedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := s.id.open(s.ctx)
	if err != nil {
		return nil, err
	}
	if !sameKey(signer.PublicKey(), s.id.public) {
		return nil, fmt.Errorf("%s does not hold the private key of the public key beside it", s.id.source)
	}
	with, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return signer.Sign(rand, data)
	}
	return with.SignWithAlgorithm(rand, data, algorithm)
}
