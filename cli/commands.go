package cli

import "github.com/urfave/cli/v2"

// commands lists every command in the order of the help page.
func commands() []*cli.Command {
	return []*cli.Command{
		predictCommand(),
		gatherCommand(),
		clusterCommand(),
		serveCommand(),
		measureCommand(),
		viewCommand(),
		convertCommand(),
		prepareCommand(),
		inspectCommand(),
		trainCommand(),
		evaluateCommand(),
		quantizeCommand(),
		exportCommand(),
		importCommand(),
		sweepCommand(),
		sampleCommand(),
		pluginsCommand(),
		demoCommand(),
		infoCommand(),
		doctorCommand(),
		versionCommand(),
		licensesCommand(),
		completionCommand(),
		manualCommand(),
	}
}
