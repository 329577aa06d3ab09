# fish completion for remotemount
function __remotemount_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l offers (remotemount __complete -- $words[2..-1] 2>/dev/null)
	# An offer is the whole word, with the flag that a value stands behind.
	set -l flag (string match -r -- '^--[^=]*=' $words[-1])
	set -l value (string replace -r -- '^--[^=]*=' '' $words[-1])
	switch "$offers[1]"
		case files
			string replace -r -- '^' "$flag" (__fish_complete_path $value)
		case folders
			string replace -r -- '^' "$flag" (__fish_complete_directories $value '')
		case '*'
			string join \n -- $offers[2..-1]
	end
end
complete -c remotemount -f -a '(__remotemount_complete)'
