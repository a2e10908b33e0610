# To be sourced: what the clients need, in node_modules/ beside this file and in a venv in the target directory.
# Sets PYTHON to the venv's.

cmp -s package-lock.json node_modules/.installed || {
    npm ci --no-audit --no-fund --loglevel error
    cp package-lock.json node_modules/.installed
}
venv=${CARGO_TARGET_DIR:-../../target}/foreign-venv
PYTHON=$venv/bin/python
cmp -s requirements.txt "$venv/installed" || {
    python3 -m venv "$venv"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt "$venv/installed"
}
