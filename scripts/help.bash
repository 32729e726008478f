# What the shell scripts share: -h and --help print the text at the top of the script, and an
# option that is not in that text is refused. To be sourced in the project's folder.
case ${1:-} in
  -h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/${0##*/}"
    exit
    ;;
  -*)
    sed -n '2,/^[^#]/p' "scripts/${0##*/}" | grep -qw -e "$1" || {
      echo "${0##*/}: $1: no such option (--help shows what there is)" >&2
      exit 2
    }
    ;;
esac
