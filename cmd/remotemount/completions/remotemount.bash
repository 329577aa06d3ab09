# bash completion for remotemount
_remotemount() {
	local words cur kind head
	# The line itself: readline's words end at colons and equal signs.
	read -a words <<<"${COMP_LINE:0:COMP_POINT}"
	[[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
	cur=${words[${#words[@]} - 1]}
	mapfile -t COMPREPLY < <(remotemount __complete -- "${words[@]:1}" 2>/dev/null)
	kind=${COMPREPLY[0]}
	COMPREPLY=("${COMPREPLY[@]:1}")
	case $kind in
	files | folders)
		head=
		[[ $cur == --*=* ]] && head=${cur%%=*}= && cur=${cur#*=}
		compopt -o filenames 2>/dev/null
		if [[ $kind == files ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		fi
		;;
	*)
		[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:/] ]] && compopt -o nospace 2>/dev/null
		# Readline puts back what stands before its own last word.
		head=${cur%"${cur##*[:=]}"}
		[[ $COMP_WORDBREAKS == *:* && $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"$head"}")
		# What a shell would take apart is quoted.
		for kind in "${!COMPREPLY[@]}"; do
			[[ ${COMPREPLY[kind]} == *[!a-zA-Z0-9_./:,=@%+~-]* ]] && printf -v "COMPREPLY[kind]" %q "${COMPREPLY[kind]}"
		done
		;;
	esac
}
complete -F _remotemount remotemount
