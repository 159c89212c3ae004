#!/usr/bin/env bash
# Puts a working @tensorflow/tfjs-node (or tfjs-node-gpu) beside Thaw: the addon of the npm package, compiled against the libtensorflow of a
# TensorFlow wheel from PyPI instead of the one that the package's own installer would download. See docs/gpu.md.
#
#   scripts/tfjs-node.sh --wheel <file> [--gpu] [--into <folder>] [--cuda-wheels <folder>]
#
#   --wheel        pip download --no-deps tensorflow-cpu==2.21.0   (with --gpu: tensorflow==2.21.0)
#   --gpu          build @tensorflow/tfjs-node-gpu
#   --into         folder whose node_modules get the package; the present one unless given
#   --cuda-wheels  folder of nvidia_*_cu12*.whl: their libraries go where TensorFlow looks for them
#
# Needs: node, npm, g++, make, python3, unzip; node's headers (below NODEDIR, the folder above node's bin, /usr/local or /usr; those of another
# Node will do, the addon uses the stable Node-API alone); linux-x64.
set -euo pipefail

version=4.22.0
kind=tfjs-node
into=.
wheel=
cuda=
while [ $# -gt 0 ]; do
  case "$1" in
    --gpu) kind=tfjs-node-gpu; shift ;;
    --wheel | --into | --cuda-wheels)
      [ $# -ge 2 ] || { echo "$1 needs a value." >&2; exit 2; }
      case "$1" in --wheel) wheel=$2 ;; --into) into=$2 ;; --cuda-wheels) cuda=$2 ;; esac
      shift 2
      ;;
    *) echo "Unknown option $1; see the head of $0." >&2; exit 2 ;;
  esac
done
[ -f "$wheel" ] || { echo "--wheel must name a TensorFlow wheel; see the head of $0." >&2; exit 2; }
[ -z "$cuda" ] || [ -d "$cuda" ] || { echo "--cuda-wheels must name a folder." >&2; exit 2; }
places=("$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")" /usr/local /usr)
[ -z "${NODEDIR:-}" ] || places=("$NODEDIR")
for headers in "${places[@]}"; do
  [ -f "$headers/include/node/node_api.h" ] && break
  headers=
done
[ -n "$headers" ] || { echo "No include/node/node_api.h was found; set NODEDIR to the folder above it." >&2; exit 2; }
for tool in npm g++ make python3 unzip; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed." >&2; exit 2; }
done

wheel=$(realpath "$wheel")
[ -z "$cuda" ] || cuda=$(realpath "$cuda")
into=$(realpath "$into")
package=@tensorflow/$kind
root=$into/node_modules/$package

# The package alone: its install script would fetch another libtensorflow.
[ -d "$root" ] || npm install --prefix "$into" --no-save --ignore-scripts --no-audit --no-fund "$package@$version"

# libtensorflow and its headers, in the places that binding.gyp names.
rm -rf "$root/deps"
mkdir -p "$root/deps/lib"
unpacked=$(mktemp -d "$into/tensorflow-XXXXXX")
trap 'rm -rf "$unpacked"' EXIT
unzip -q "$wheel" 'tensorflow/libtensorflow_cc.so.2' 'tensorflow/libtensorflow_framework.so.2' 'tensorflow/include/*' -d "$unpacked"
mv "$unpacked"/tensorflow/libtensorflow_*.so.2 "$root/deps/lib/"
mv "$unpacked/tensorflow/include" "$root/deps/include"
ln -s libtensorflow_cc.so.2 "$root/deps/lib/libtensorflow.so"
ln -s libtensorflow_framework.so.2 "$root/deps/lib/libtensorflow_framework.so"
if [ -n "$cuda" ]; then
  # TensorFlow's run path is $ORIGIN/../nvidia/*/lib.
  for library in "$cuda"/nvidia_*.whl; do unzip -q -o "$library" 'nvidia/*' -d "$root/deps"; done
fi

# npm brings node-gyp, which is found without help only where npm lies beside node.
gyp=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")/node_modules/node-gyp/bin/node-gyp.js
[ ! -f "$gyp" ] || export npm_config_node_gyp=$gyp
(cd "$root" && npm_config_nodedir="$headers" "$into/node_modules/.bin/node-pre-gyp" install --build-from-source)
# Needed for the compilation only.
rm -rf "$root/deps/include" "$root/build"

cd "$into"
TF_CPP_MIN_LOG_LEVEL=2 node --input-type=commonjs -e "
  // Functions that Node 23 took out and the package calls.
  require('util').isNullOrUndefined ??= (value) => value == null;
  require('util').isArray ??= Array.isArray;
  const tf = require('$package');
  const product = [...tf.tensor2d([[1, 2], [3, 4]]).matMul(tf.tensor2d([[1, 2], [3, 4]])).dataSync()].join();
  if (tf.getBackend() !== 'tensorflow' || product !== '7,10,15,22') throw new Error(tf.getBackend() + ' ' + product);
  const { binding, isUsingGpuDevice } = tf.backend();
  console.log('$package', tf.version['tfjs-node'], 'on TensorFlow', binding.TF_Version, isUsingGpuDevice ? 'with a GPU' : 'without a GPU');
"
