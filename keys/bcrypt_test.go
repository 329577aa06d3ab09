package keys

import (
	"testing"
)

func BenchmarkBcrypt(b *testing.B) {
	for b.Loop() {
		if _, err := bcryptPBKDF([]byte("passphrase"), []byte("salt of sixteen."), 24, 48); err != nil {
			b.Fatal(err)
		}
	}
}
