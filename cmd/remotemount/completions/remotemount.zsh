#compdef remotemount
# zsh completion for remotemount
_remotemount() {
	local -a offers
	offers=("${(@f)$(remotemount __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$offers" ]]; then
		compadd -Q -- "${offers[@]}"
	else
		_files
	fi
}
if [[ "$funcstack[1]" = "_remotemount" ]]; then
	_remotemount "$@"
else
	compdef _remotemount remotemount
fi
