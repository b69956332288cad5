#!/usr/bin/env bash
# Install the example package beside the built project in a new environment, train it for a few steps, test and uninstall
# it. Fails if a file of the project changes. VENV: the project's environment, whose libraries (torch, …) are linked
# instead of installed again.
set -euo pipefail
cd "$(dirname "$0")/../.."
project=$PWD
example=$project/docs/examples/posegen_shapes
own=$(cd "${VENV:-.venv}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
before=$(git status --porcelain)

"$own/bin/python" -m venv "$work/venv"
bin=$work/venv/bin
packages=$("$bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
libraries=$("$own/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")
mkdir "$work/borrowed"
for entry in "$libraries"/*; do  # all but posegen and the installer, which the new environment has itself
  case $(basename "$entry") in
    *posegen* | pip | pip-* | setuptools | setuptools-* | *.pth | __pycache__) ;;
    *) ln -s "$entry" "$work/borrowed/" ;;
  esac
done
echo "$work/borrowed" > "$packages/borrowed.pth"

"$bin/python" -m pip install -q -c constraints.txt hatchling
"$bin/python" -m pip wheel -q --no-deps --no-build-isolation -w "$work/wheels" "$project"
"$bin/python" -m pip install -q --no-deps "$work"/wheels/posegen-*.whl
"$bin/python" -m pip install -q --no-build-isolation "$example"  # its dependencies are there

cd "$work"  # not the project's folder: nothing may be imported from it
"$bin/posegen" plugins | tee plugins.txt
grep -q "^shapes .*posegen-shapes 1.0.0 .*$packages/posegen_shapes" plugins.txt
"$bin/posegen" list > before.txt
grep -q "^datasets  *MovingShapes  *shapes " before.txt
"$bin/python" -m pytest -q --disable-warnings -p no:cacheprovider "$example"

config=$example/configs/shapes.py
few=(--cfg-options flow_iters=3 full_iters=3 test_length=4 batch_size=2)
quietly() {  # show the output of a command only if it fails
  "$@" > log.txt 2>&1 || { echo "failed with status $?: $*"; tail -40 log.txt; exit 1; }
}
quietly "$bin/posegen" train "$config" --work-dir run "${few[@]}"
quietly "$bin/posegen" test "$config" "$(cat run/last_checkpoint)" --work-dir run "${few[@]}"
grep -q '"color_error": [0-9]' run/metrics.json
test -s run/test_sheet.png

"$bin/python" -m pip uninstall -q -y posegen-shapes
"$bin/posegen" list > after.txt
if grep -e MovingShapes -e CornerEncoder -e ShapeColor after.txt; then exit 1; fi
grep -q "^datasets " after.txt
if "$bin/posegen" train "$config" --work-dir none "${few[@]}" 2> refused.txt; then exit 1; fi
grep -q "is called 'MovingShapes'" refused.txt || { cat refused.txt; exit 1; }

cd "$project"
after=$(git status --porcelain)
if [ "$before" != "$after" ]; then printf 'files of the project changed; before:\n%s\nafter:\n%s\n' "$before" "$after"; exit 1; fi
echo "the example package was installed, trained, tested and uninstalled; no file of the project changed"
