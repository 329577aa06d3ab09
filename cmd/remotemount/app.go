package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/remotemount/remotemount/keys/nss"
)

// version is set by the linker, as are the commit it was built from and its day.
var version, commit, date = "", "", ""

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// versionLine is the version with what it was built from, as far as that is known.
func versionLine() string {
	from, day := commit, date
	if info, ok := debug.ReadBuildInfo(); ok && from == "" {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				from = s.Value[:min(len(s.Value), 12)]
			case "vcs.time":
				day, _, _ = strings.Cut(s.Value, "T")
			}
		}
	}
	line := versionText()
	if from != "" {
		line += ", commit " + from
	}
	if day != "" {
		line += " of " + day
	}
	return line
}

// newApp is the whole command line.
func newApp() *cli.App {
	app := &cli.App{
		Name:      "remotemount",
		Usage:     "mount, copy and look after folders on other machines, over SFTP",
		UsageText: "remotemount mount user@host:folder ~/mnt",
		Version:   versionLine(),
		Commands: []*cli.Command{
			mountCommand(), unmountCommand(), reconnectCommand(), statusCommand(), topCommand(),
			remoteCommand(), keyCommand(), hostkeyCommand(), browseCommand(), doctorCommand(),
			syncCommand(), serveCommand(), demoCommand(), completionCommand(), completeCommand(),
		},
		CustomAppHelpTemplate:     appHelp,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a file name may have a comma in it
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              func(c *cli.Context, err error, _ bool) error { return usageError(usageName(c), err) },
		Action:                    func(c *cli.Context) error { return cli.ShowAppHelp(c) },
	}
	cli.FlagStringer = flagLine // the library has no other place for it
	for _, cmd := range app.Commands {
		prepare(cmd, app.OnUsageError)
	}
	return app
}

// usageName is the verb that help is asked of.
func usageName(c *cli.Context) string {
	if c.Command == nil || c.Command.HelpName == "" {
		return c.App.Name
	}
	return c.Command.HelpName
}

func prepare(cmd *cli.Command, onUsage cli.OnUsageErrorFunc) {
	cmd.OnUsageError, cmd.HideHelpCommand = onUsage, true
	cmd.CustomHelpTemplate = commandHelp + units(cmd.Flags)
	for _, sub := range cmd.Subcommands {
		prepare(sub, onUsage)
	}
	if len(cmd.Subcommands) > 0 && cmd.Action == nil {
		cmd.Action = func(c *cli.Context) error {
			return usage("%s %s: it needs one more word: see remotemount %s --help", "remotemount", cmd.Name, cmd.Name)
		}
	}
}

// run is main without the exit.
func run(args []string) int {
	if err := environment(); err != nil {
		f := explain(err)
		f.print(os.Stderr)
		return f.code
	}
	return runWith(args, os.Stdout, os.Stderr)
}

// environment puts in what mount(8) takes away before it calls a helper, and what
// a service may not have: without a home there are no keys and no known hosts.
func environment() error {
	if getenv("HOME") == "" {
		if u, err := nss.Current(); err == nil && u.HomeDir != "" {
			if err := os.Setenv("HOME", u.HomeDir); err != nil {
				return err
			}
		}
	}
	if getenv("PATH") == "" {
		return os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return nil
}

func runWith(args []string, out, errOut io.Writer) int {
	app := newApp()
	app.Writer, app.ErrWriter = out, errOut
	err := func() error {
		if other := map[string]func() ([]string, error){
			"mount.remotemount": func() ([]string, error) { return mountHelper(app, args[1:]) },
			"sshfs":             func() ([]string, error) { return sshfsMain(app, args[1:], out) },
		}[calledAs(args)]; other != nil {
			ordered, err := other()
			if err != nil || ordered == nil {
				return err
			}
			return runOrdered(app, ordered)
		}
		ordered, err := permute(app, args, isNamed)
		if err != nil {
			return err
		}
		return runOrdered(app, ordered)
	}()
	if err == nil {
		return exitDone
	}
	f := explain(err)
	f.print(errOut)
	if calledAs(args) == "sshfs" {
		return exitFailed // sshfs knows no other
	}
	return f.code
}

// runOrdered runs a command line whose words are in the library's order, and
// keeps it for a mount that starts the program again.
func runOrdered(app *cli.App, ordered []string) error {
	app.Metadata = map[string]any{argsKey: ordered}
	return app.Run(ordered)
}

// arguments gives the arguments of a verb, when they are as many as it has names for.
func arguments(c *cli.Context, names ...string) ([]string, error) {
	args := c.Args().Slice()
	switch {
	case len(args) < len(names):
		return nil, usageHint(fmt.Sprintf("%s: %s is missing", c.Command.HelpName, names[len(args)]), c.Command.HelpName+" --help")
	case len(args) > len(names):
		return nil, usageHint(fmt.Sprintf("%s: %q is one argument too many", c.Command.HelpName, args[len(names)]), c.Command.HelpName+" --help")
	}
	return args, nil
}
