package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/ssh"

	"github.com/remotemount/remotemount/keys"
)

// maxKeyInput bounds what is read as a key from standard input.
const maxKeyInput = 1 << 20

// readKeyInput reads the file a key verb is about; "-" is standard input. That
// others can read it is said, and no reason not to look at it.
func readKeyInput(c *cli.Context) (file string, data []byte, err error) {
	args, err := arguments(c, "FILE")
	if err != nil {
		return "", nil, err
	}
	file = expandHome(args[0])
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(c.App.Reader, maxKeyInput))
		return "standard input", data, err
	}
	data, err = keys.ReadKeyFile(file)
	var perm *keys.PermissionError
	if errors.As(err, &perm) {
		if _, ierr := keys.Inspect(data); ierr != nil {
			return file, nil, fail(exitFailed, fmt.Errorf("%s: %w", file, ierr), "")
		}
		_, err = fmt.Fprintf(c.App.ErrWriter, "remotemount: %s: %v; chmod 600 mends that\n", file, perm)
	}
	return file, data, err
}

// publicOf finds the public key and comment, with as few questions as the form
// of the file allows.
func publicOf(c *cli.Context, file string, data []byte) (ssh.PublicKey, string, error) {
	if key, comment, err := keys.ParsePublic(data); err == nil {
		return key, comment, nil
	}
	info, err := keys.Inspect(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	if info.Public != nil && (info.Comment != "" || info.Encrypted) {
		return info.Public, info.Comment, nil
	}
	key, _, err := unlockFile(c.Context, data, file, c.String("passphrase-file"))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	return key.Public(), key.Comment, nil
}

func keyPublic(c *cli.Context) error {
	file, data, err := readKeyInput(c)
	if err != nil {
		return err
	}
	key, comment, err := publicOf(c, file, data)
	if err != nil {
		return err
	}
	text := keys.PublicLine(key, comment) + "\n"
	if c.Bool("rfc4716") {
		text = keys.PublicRFC4716(key, comment)
	}
	if _, err := io.WriteString(c.App.Writer, text); err != nil {
		return err
	}
	if c.Bool("copy") {
		return copyToClipboard(c.Context, strings.TrimSuffix(text, "\n"))
	}
	return nil
}

// An inspected is what inspect tells of a file.
type inspected struct {
	File        string `json:"file"`
	Format      string `json:"format"`
	Private     bool   `json:"private"`
	Encrypted   bool   `json:"encrypted"`
	Cipher      string `json:"cipher,omitempty"`
	Type        string `json:"type,omitempty"`
	Bits        int    `json:"bits,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Comment     string `json:"comment,omitempty"`
}

func keyInspect(c *cli.Context) error {
	file, data, err := readKeyInput(c)
	if err != nil {
		return err
	}
	found, err := inspectKey(c, file, data)
	if err != nil {
		return fail(exitFailed, fmt.Errorf("%s: %w", file, err), "")
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(found)
	}
	return found.print(c.App.Writer)
}

func inspectKey(c *cli.Context, file string, data []byte) (*inspected, error) {
	if key, comment, err := keys.ParsePublic(data); err == nil {
		found := &inspected{File: file, Format: "public", Comment: comment}
		if _, ok := key.(*ssh.Certificate); ok {
			found.Format = "certificate"
		}
		found.describe(key)
		return found, nil
	}
	info, err := keys.Inspect(data)
	if err != nil {
		return nil, err
	}
	found := &inspected{
		File: file, Format: string(info.Format), Private: true, Encrypted: info.Encrypted,
		Cipher: info.Cipher, Comment: info.Comment,
	}
	if !info.Encrypted || c.IsSet("passphrase-file") {
		key, _, err := unlockFile(c.Context, data, file, c.String("passphrase-file"))
		if err != nil {
			return nil, err
		}
		info.Public, found.Comment = key.Public(), key.Comment
	}
	if info.Public != nil {
		found.describe(info.Public)
	}
	return found, nil
}

func (f *inspected) describe(key ssh.PublicKey) {
	f.Type, f.Bits, f.Fingerprint = key.Type(), keys.Bits(key), ssh.FingerprintSHA256(key)
}

func (f *inspected) print(w io.Writer) error {
	out := &printer{w, nil}
	line := func(name, value string) {
		if value != "" {
			out.say("%-12s %s\n", name+":", oneLine(value))
		}
	}
	line("file", f.File)
	line("format", f.Format)
	if f.Private {
		line("encrypted", map[bool]string{true: "yes, " + f.Cipher, false: "no"}[f.Encrypted])
	}
	if f.Type == "" {
		line("key", "known only with the passphrase: give --passphrase-file")
		return out.err
	}
	line("type", f.Type)
	line("bits", fmt.Sprint(f.Bits))
	line("fingerprint", f.Fingerprint)
	line("comment", f.Comment)
	return out.err
}

func keyConvert(c *cli.Context) error {
	out := expandHome(c.String("out"))
	if out == "" {
		return usageHint("key convert: --out is missing", "remotemount key convert FILE --out FILE")
	}
	form, err := wantedForm(c.String("to"), out)
	if err != nil {
		return err
	}
	file, data, err := readKeyInput(c)
	if err != nil {
		return err
	}
	key, passphrase, err := unlockFile(c.Context, data, file, c.String("passphrase-file"))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if from := c.String("new-passphrase-file"); from != "" {
		if passphrase, err = passphraseFromFile(from); err != nil {
			return err
		}
	}
	if c.Bool("no-passphrase") {
		passphrase = nil
	}
	content, err := keys.Marshal(key, form, passphrase)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if out == "-" {
		_, err = c.App.Writer.Write(content)
		return err
	}
	if err := writeKey(out, content, c.Bool("force")); err != nil {
		return err
	}
	protected := "with the passphrase"
	if len(passphrase) == 0 {
		protected = "without a passphrase"
	}
	_, err = fmt.Fprintf(c.App.ErrWriter, "remotemount: %s written to %s as %s, %s\n", keys.Describe(key.Public()), out, form, protected)
	return err
}

// wantedForm is what --to says, or the usual ending of the file's name.
func wantedForm(to, out string) (keys.Format, error) {
	if to == "" {
		to = map[string]string{".ppk": "ppk", ".pem": "pem", ".p8": "pkcs8", ".pk8": "pkcs8"}[strings.ToLower(filepath.Ext(out))]
	}
	switch strings.ToLower(to) {
	case "", "openssh":
		return keys.FormatOpenSSH, nil
	case "pem":
		return keys.FormatPEM, nil
	case "pkcs8":
		return keys.FormatPKCS8, nil
	case "ppk", "ppk3", "putty":
		return keys.FormatPPK3, nil
	}
	return "", usage("--to %q: openssh, pem, pkcs8 or ppk", to)
}
