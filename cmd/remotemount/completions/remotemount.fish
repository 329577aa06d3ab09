# fish completion for remotemount
function __remotemount_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l offers (remotemount __complete -- $words[2..-1] 2>/dev/null)
	switch "$offers[1]"
		case files
			__fish_complete_path (string replace -r -- '^--[^=]*=' '' $words[-1])
		case folders
			__fish_complete_directories (string replace -r -- '^--[^=]*=' '' $words[-1]) ''
		case '*'
			string join \n -- $offers[2..-1]
	end
end
complete -c remotemount -f -a '(__remotemount_complete)'
