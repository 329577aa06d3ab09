#!/bin/sh
# Makes the packages of what is committed: .deb, .rpm, .apk and Arch's, each for amd64
# and arm64, and for each of both what is linked into the program, as CycloneDX.
#
#   packaging/build.sh FOLDER
#
# All of it is made in a fresh clone, and depends on the commit, the release of Go and
# gzip alone: the same bytes come out in any folder at any time. A tag vX.Y.Z on the
# commit is the version; a later commit is newer than the tag, and older than the next.
#
# ARCHES and PACKAGERS name some of them, PROGRAM_CACHE a folder for what is compiled.
set -eu
umask 022

out=$1
ARCHES=${ARCHES:-"amd64 arm64"}
PACKAGERS=${PACKAGERS:-"deb rpm apk archlinux"}

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
git clone -q "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)" "$work/remotemount"
cd "$work/remotemount"

# What the environment may say of how Go builds would be in the program.
export CGO_ENABLED=0 GOFLAGS= GOEXPERIMENT= GOFIPS140=off GOAMD64=v1 GOARM64=v8.0 GOWORK=off
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
commit=$(git rev-parse --short=12 HEAD)
day=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)

# read_version sets tag and later, as in 1.0.0-rc.1 and 5: five commits behind v1.0.0-rc.1.
# Before the first tag the commits are counted from 0.0.0 on.
read_version() {
	if described=$(git describe --tags --long --match 'v[0-9]*' 2>/dev/null); then
		tag=${described%-*-g*}
		tag=${tag#v}
		later=${described#"v$tag-"}
		later=${later%-g*}
	else
		tag=0.0.0
		later=$(git rev-list --count HEAD)
	fi
	[ "$later" = 0 ] && later=
	version=$tag${later:+"+$later.g$commit"}
}

# version_for PACKAGER: each system has its own way to say that rc.1 is older and that a
# later commit is newer. Alpine's has no place for the commit.
version_for() {
	release=${tag%%-*}
	early=${tag#"$release"}
	early=${early#-}
	case $1 in
	deb | rpm) echo "$release${early:+~$early}${later:+"+$later.g$commit"}" ;;
	apk) echo "$release${early:+"_$(echo "$early" | tr -d .-)"}${later:+_p$later}" ;;
	archlinux) echo "$release$(echo "$early" | tr -d .-)${later:+".r$later.g$commit"}" ;;
	esac
}

release_for() {
	case $1 in
	apk) echo r0 ;;
	*) echo 1 ;;
	esac
}

zip() { gzip -9n; }

# build_program ARCH: the Makefile's, with another name.
build_program() {
	GOCACHE=${PROGRAM_CACHE:-$(go env GOCACHE)} GOOS=linux GOARCH=$1 make -s build BINARY="build/$1/remotemount" \
		VERSION="$version" COMMIT="$commit" DATE="$day"
}

# same_for_all writes into build/package what no processor makes different.
same_for_all() {
	mkdir -p build/package
	program=build/$(go env GOHOSTARCH)/remotemount
	for shell in bash zsh fish; do "$program" completion $shell >build/package/completion.$shell; done
	zip <docs/remotemount.1 >build/package/remotemount.1.gz
	zip <CHANGELOG.md >build/package/changelog.gz
	{
		cat LICENSE
		echo
		echo "The licences of what is linked into the program are in NOTICE.gz beside this file."
	} >build/package/copyright
	{
		echo "remotemount ($(version_for deb)-1) unstable; urgency=medium"
		echo
		echo "  * What changed is in changelog.gz beside this file."
		echo
		echo " -- $(sed -n 's/^maintainer: //p' packaging/nfpm.yaml)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
	} | zip >build/package/changelog.Debian.gz
}

# package ARCH: all packages with the program for it.
package() {
	cp "build/$1/remotemount" build/package/remotemount
	"$work/tools/notice" build/package/remotemount >build/package/NOTICE
	zip <build/package/NOTICE >build/package/NOTICE.gz
	"$work/tools/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$version" \
		-output "$out/remotemount_${version}_$1.cdx.json" build/package/remotemount
	for packager in $PACKAGERS; do
		ARCH=$1 PACKAGE_VERSION=$(version_for "$packager") PACKAGE_RELEASE=$(release_for "$packager") \
			"$work/tools/nfpm" package -f packaging/nfpm.yaml -p "$packager" -t "$out" >/dev/null
	done
}

read_version
mkdir "$work/tools"
go -C packaging/tools build -trimpath -buildvcs=false -o "$work/tools/" ./notice \
	github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod github.com/goreleaser/nfpm/v2/cmd/nfpm
for arch in $ARCHES; do build_program "$arch"; done
same_for_all
for arch in $ARCHES; do package "$arch"; done
