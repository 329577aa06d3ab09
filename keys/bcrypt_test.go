package keys

import (
	"encoding/hex"
	"testing"
)

// Vectors of the reference implementation in OpenBSD, as x/crypto/ssh carries
// them for its own copy.
func TestBcryptPBKDF(t *testing.T) {
	for _, v := range []struct {
		rounds               int
		password, salt, want string
	}{
		{12, "password", "salt", "1ae42c05d487bc02f64921a4ebe4ea93bcacfe135fda99974c06b7b01fae149a"},
		{3, "passwordy\x00PASSWORD\x00", "salty\x00SALT\x00", "7f310bd3e78c3280c59ce4595211a2928e8d4ec744c1ed2efc9f764e3388e0ad"},
		{8, "секретное слово", "посолить немножко",
			"8df43fc6fe131fc47f0c9e39224bd94c70b6fcc8ee8135faddf61156e6cb2733ea765f315a3e1e4afc35bf8687d189254c1e05a6fe80c0617f9183d67260d6" +
				"a115c6c94e3603e2303fbb43a76a64523ffda686b1d4518543"},
	} {
		if raceEnabled && v.rounds > 3 {
			continue // minutes under the race detector
		}
		want, err := hex.DecodeString(v.want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := bcryptPBKDF([]byte(v.password), []byte(v.salt), v.rounds, len(want))
		if err != nil || string(got) != string(want) {
			t.Errorf("%q: got %x, %v; want %x", v.password, got, err, want)
		}
	}
}

// Vectors of the reference implementation of Argon2d (version 1.3, "password",
// "somesalt", 24 bytes), as x/crypto/argon2 has them in its tests.
func TestArgon2d(t *testing.T) {
	for _, v := range []struct {
		passes, memory, lanes uint32
		want                  string
	}{
		{1, 64, 1, "8727405fd07c32c78d64f547f24150d3f2e703a89f981a19"},
		{2, 64, 1, "3be9ec79a69b75d3752acb59a1fbb8b295a46529c48fbb75"},
		{2, 64, 2, "68e2462c98b8bc6bb60ec68db418ae2c9ed24fc6748a40e9"},
		{3, 256, 2, "f4f0669218eaf3641f39cc97efb915721102f4b128211ef2"},
		{4, 1024, 8, "83604fc2ad0589b9d055578f4d3cc55bc616df3578a896e9"},
		{2, 64, 3, "22474a423bda2ccd36ec9afd5119e5c8949798cadf659f51"},
		{3, 1024, 6, "a3351b0319a53229152023d9206902f4ef59661cdca89481"},
	} {
		got := argon2d([]byte("password"), []byte("somesalt"), v.passes, v.memory, v.lanes, 24)
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%+v: got %x", v, got)
		}
	}
}
