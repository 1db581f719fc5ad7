#!/bin/sh
# lmcache-ci with the Node binary beside it: needs no Node, no npm and no network of this machine.
self=$0
while [ -h "$self" ]; do
  target=$(readlink "$self")
  case $target in
    /*) self=$target ;;
    *) self=$(dirname "$self")/$target ;;
  esac
done
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P) || exit 3
exec "$here/bin/node" "$here/app/pipeline/lmcache-ci.mjs" "$@"
