#compdef remotemount
# zsh completion for remotemount
_remotemount() {
	local -a offers go_on
	local kind
	offers=("${(@f)$(remotemount __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	kind=$offers[1]
	offers=("${(@)offers[2,-1]}")
	case $kind in
	files|folders)
		compset -P '--*='
		if [[ $kind == files ]]; then _files; else _files -/; fi
		;;
	*)
		# A folder of a remote, and an option with a value, are gone on with.
		go_on=("${(@M)offers:#*[/=:]}")
		offers=("${(@)offers:#*[/=:]}")
		if (( $#go_on )); then compadd -Q -S '' -- "${(@q)go_on}"; fi
		if (( $#offers )); then compadd -Q -- "${(@q)offers}"; fi
		;;
	esac
}
if [[ "$funcstack[1]" = "_remotemount" ]]; then
	_remotemount "$@"
else
	compdef _remotemount remotemount
fi
