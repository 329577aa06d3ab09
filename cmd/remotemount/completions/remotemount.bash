# bash completion for remotemount
_remotemount() {
	local words cur
	# A colon is part of a REMOTE, not the end of a word.
	COMP_WORDBREAKS=${COMP_WORDBREAKS//:/}
	cur=${COMP_WORDS[COMP_CWORD]}
	words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
	mapfile -t COMPREPLY < <(remotemount __complete -- "${words[@]}" "$cur" 2>/dev/null)
	if ((${#COMPREPLY[@]} == 0)); then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -F _remotemount remotemount
