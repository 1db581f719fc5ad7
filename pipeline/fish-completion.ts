/**
 * Completion for fish. yargs' own script leaves out the program's name, which its completer counts on: commands are
 * completed then, their options are not. Without `-f`: many arguments are files.
 */
export const fishCompletion = `# Installation: lmcache-ci completion > ~/.config/fish/completions/lmcache-ci.fish
complete -c lmcache-ci -a '(lmcache-ci --get-yargs-completions (commandline -opc) (commandline -ct))'
`;
