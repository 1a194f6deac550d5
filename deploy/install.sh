#!/bin/sh
# shellcheck disable=SC2086 # $offline is one word or none
# The steps of deploy/Dockerfile that install something: each from the index that the build was given.
set -eu

locks=deploy/requirements
python=/opt/gristmill/bin/python
packages=/opt/gristmill

offline=
if [ -n "${OFFLINE:-}" ]; then
    export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels UV_FIND_LINKS=/wheels
    offline=--no-index
elif [ -s /run/secrets/index ]; then
    url=$(head -n 1 /run/secrets/index)
    export PIP_INDEX_URL="$url" UV_DEFAULT_INDEX="$url"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy

tools() {
    # uv's own entry of the lock: its line and the hashes that follow it.
    awk '/^uv==/ { on = 1; print; next } on && /^    --hash/ { print; next } { on = 0 }' \
        "$locks/runtime.txt" > /tmp/uv.txt
    /opt/tools/bin/python -m pip install --quiet --require-hashes --no-deps -r /tmp/uv.txt
    /opt/tools/bin/uv pip install --quiet $offline --python /opt/tools/bin/python --require-hashes -r "$locks/build.txt"
}

packages() {
    /opt/tools/bin/uv venv --quiet --python "$(command -v python3)" "$packages"
    /opt/tools/bin/uv pip install --quiet $offline --python "$python" --require-hashes -r "$locks/$1.txt"
    tidy
}

torch() {
    if [ -n "$2" ]; then
        export UV_INDEX="$2"
    fi
    /opt/tools/bin/uv pip install --quiet $offline --python "$python" "$1"
    # Its own tests, and the headers of extensions, for which the image has no compiler.
    folder=$("$python" -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')
    rm -rf "$folder/test" "$folder/include"
    find "$folder" -path "$folder/bin/*" \( -name '*[Tt]est*' -o -name 'protoc*' \) -type f -delete
    tidy
}

gristmill() {
    /opt/tools/bin/python -m hatchling build --target wheel --directory /tmp/dist
    /opt/tools/bin/uv pip install --quiet --offline --no-deps --python "$python" /tmp/dist/*.whl
    compile "$("$python" -c 'import gristmill; print(gristmill.__path__[0])')/.."
}

# What no process reads: tests of libraries, and what other libraries are compiled against.
tidy() {
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    find "$site" -type d \( -name tests -o -name include \) -not -path '*/torch/*' -prune -exec rm -rf {} +
    find "$site" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \) -delete
    compile "$site"
}

# A root file system that is read only takes no byte code later. It goes by hashes, so that times do not change it.
compile() {
    "$python" -m compileall -q --invalidation-mode unchecked-hash "$1" > /dev/null || true
}

"$@"
