# fish completion for remotemount
function __remotemount_complete
	set -l words (commandline -opc) (commandline -ct)
	remotemount __complete -- $words[2..-1] 2>/dev/null
end
complete -c remotemount -a '(__remotemount_complete)'
