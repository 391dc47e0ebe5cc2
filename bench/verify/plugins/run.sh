#!/usr/bin/env bash
# Runs the plugins in the programs that they are for, and compares the nuclei
# with those of `unet predict`.
#
#   bench/verify/plugins/run.sh NAME...
#
# imagej        ImageJ on a screen that nobody sees: java, xvfb, xauth, Debian's
#               libij-java or IJ_JAR
# qupath        syntax only, by Groovy's compiler: java, GROOVY_JAR or Maven
# napari        napari offscreen and npe2: PYTHON or a new environment from PyPI
# cellprofiler  cellprofiler_core in PYTHON, or else a stub, which is said. It needs
#               Python 3.9, a JDK and, in this order, "numpy<2" "cython<3.1"
#               "setuptools<70" wheel; --no-build-isolation --no-deps python-javabridge;
#               cellprofiler-core "numpy<2"
# nextflow      Nextflow, offline: NEXTFLOW_CP (a class path) or Maven
# snakemake     Snakemake: PYTHON or a new environment from PyPI
# galaxy        planemo lint: PYTHON or a new environment from PyPI
# bilayers      its keys and options: PYTHON with pyyaml or a new environment
# container     the recipes' own commands in a folder that holds nothing else
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD here=$PWD/bench/verify/plugins
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/unet" ./cli/unet
export PATH=$work:$PATH UNET_PROGRAM=$work/unet UNET=$work/unet
cd "$work"
unet sample --out sample.zip --count 1 --size 256 --seed 3 --quiet
python3 -m zipfile -e sample.zip sample
cp sample/*/images/*.png nuclei.png
unet predict nuclei.png --out expected --format labels,csv --quiet
nuclei=$(($(wc -l < expected/nuclei.nuclei.csv) - 1))
unet version

# python PACKAGE... puts an interpreter with the packages into $python.
python() {
  python=${PYTHON:-}
  if [ -z "$python" ]; then
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    "$python" -m pip install -q "$@"
  fi
  for p in "$@"; do
    "$python" -c 'import importlib.metadata as m, re, sys; p = re.split("[^A-Za-z0-9-]", sys.argv[1])[0]; print(p, m.version(p))' "$p"
  done
}

# classpath GROUP:ARTIFACT:VERSION prints the class path that Maven finds.
classpath() {
  local g a v
  IFS=: read -r g a v <<<"$1"
  mkdir -p "$work/$a"
  cat > "$work/$a/pom.xml" <<EOF
<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>
<dependencies><dependency><groupId>$g</groupId><artifactId>$a</artifactId><version>$v</version></dependency></dependencies></project>
EOF
  (cd "$work/$a" && mvn -q dependency:build-classpath -Dmdep.outputFile=cp.txt >&2)
  cat "$work/$a/cp.txt"
}

imagej() {
  jar=${IJ_JAR:-/usr/share/java/ij.jar}
  mkdir -p temp
  macro() { # IMAGE OPTIONS, in folders of its own, with no unet on the path
    PATH=${PATH#"$work:"} timeout 120 xvfb-run -a java -Djava.io.tmpdir="$work/temp" -Dplugins.dir="$work/ij" -cp "$jar" "$here/RunMacro.java" "$1" \
      "$work/imagej/UNet_Nuclei.ijm" "$2" | tee imagej.txt
  }
  mkdir -p "a folder" && cp unet "a folder/my unet.exe" # spaces, as in C:\Program Files
  macro "$work/nuclei.png" "unet=$work/a folder/my unet.exe diameter=auto"
  grep -qx "$nuclei regions and $nuclei rows" imagej.txt || { echo "expected $nuclei" >&2; return 1; }
  { printf 'P5\n128 128\n255\n'; head -c 16384 /dev/zero; } > black.pgm # no nuclei
  mkdir -p ij/plugins && cp unet ij/plugins/unet.exe # found as on Windows
  macro "$work/black.pgm" diameter=auto
  grep -qx "0 regions and 0 rows" imagej.txt
  grep -q "unet: 0 nuclei" imagej.txt
  # A run that fails shows nothing of the one before, and neither leaves a file.
  macro "$work/nuclei.png" unet=false && { echo "a failure was not noticed" >&2; return 1; }
  grep -q "no regions or no table" imagej.txt
  [ -z "$(ls -A temp | grep ^unet)" ] || { ls -A temp; return 1; }
}

qupath() {
  java -cp "${GROOVY_JAR:-$(classpath org.apache.groovy:groovy:4.0.24)}" "$here/ParseGroovy.java" "$work/qupath/unet_nuclei.groovy"
  echo "QuPath itself is not in any registry here: the script was not run in it"
}

napari() {
  python "napari[pyqt6]" npe2 tifffile numpy
  "$python" -m pip install -q --no-deps "$work/napari"
  "$(dirname "$python")/npe2" validate napari-unet
  "$python" -c 'import sys, tifffile, PIL.Image, numpy; tifffile.imwrite("nuclei.tif", numpy.asarray(PIL.Image.open("nuclei.png")))'
  QT_QPA_PLATFORM=offscreen timeout 300 "$python" "$here/check_napari.py" nuclei.tif "$nuclei" expected/nuclei.labels.tif corrected
}

cellprofiler() {
  python numpy scikit-image
  "$python" "$here/check_cellprofiler.py" "$work/cellprofiler/rununet.py" nuclei.png "$nuclei"
}

nextflow() {
  cp=${NEXTFLOW_CP:-$(classpath io.nextflow:nextflow:24.10.0)}
  export NXF_OFFLINE=true NXF_HOME=$work/nxf
  open=(--add-opens=java.base/java.{lang,io,nio,net,util}=ALL-UNNAMED)
  timeout 300 java "${open[@]}" -cp "$cp" nextflow.cli.Launcher -v
  cp nuclei.png "a field.png"
  timeout 300 java "${open[@]}" -cp "$cp" nextflow.cli.Launcher run nextflow/tests/main.nf --images "$work/a field.png" -ansi-log false | tee nextflow.txt
  grep -q "a field: 1 image, $nuclei nuclei" nextflow.txt
}

snakemake() {
  python snakemake pillow
  mkdir -p flow/images
  "$python" -c 'import PIL.Image; PIL.Image.open("nuclei.png").save("flow/images/a b.tif"); PIL.Image.new("L", (128, 128)).save("flow/images/none.tif")'
  printf 'include: "%s"\nrule all:\n    input: "nuclei/a b/a b.labels.tif", "nuclei/none/none.labels.tif"\n' "$work/snakemake/unet.smk" > flow/Snakefile
  (cd flow && timeout 300 "$(dirname "$python")/snakemake" --cores 2 --quiet all all)
  [ $(($(wc -l < "flow/nuclei/a b/a b.nuclei.csv") - 1)) = "$nuclei" ]
  [ $(wc -l < flow/nuclei/none/none.nuclei.csv) = 1 ]
  echo "the rule ran: $nuclei nuclei, as unet predict"
}

galaxy() {
  python planemo
  cp nuclei.png galaxy/test-data/ 2>/dev/null || { mkdir -p galaxy/test-data && cp nuclei.png galaxy/test-data/; }
  timeout 300 "$(dirname "$python")/planemo" lint --fail_level error galaxy/unet.xml
}

bilayers() { # its schema written out, see there
  python pyyaml
  "$python" "$here/check_bilayers.py" "$work/bilayers/config.yaml"
}

# Neither Docker nor Apptainer run here: the program alone, in an empty root.
container() {
  mkdir -p rootfs/usr/local/bin rootfs/data
  cp unet rootfs/usr/local/bin/
  grep -q '^COPY unet /usr/local/bin/unet' container/Dockerfile
  grep -q 'unet /usr/local/bin/unet' container/unet.def
  ldd unet | awk '/=>/{print $3} /ld-linux/{print $1}' | xargs -I{} cp --parents {} rootfs
  if command -v npm >/dev/null; then
    npm install --silent --prefix lint dockerfilelint@1.8.0 >/dev/null
    lint/node_modules/.bin/dockerfilelint container/Dockerfile
  else
    echo "no npm: the Dockerfile was not linted"
  fi
  cp nuclei.png rootfs/data/
  chroot rootfs /usr/local/bin/unet predict /data/nuclei.png --out /data/out --format csv --quiet
  cmp rootfs/data/out/nuclei.nuclei.csv expected/nuclei.nuclei.csv
  echo "in an empty root with the C library alone: same table. Docker and Apptainer were not run."
}

for name in "$@"; do
  echo "== $name"
  unet plugins install "$name" --into "$work/$name" > installed.txt
  "$name"
done
