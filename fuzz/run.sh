#!/bin/sh
# Runs the fuzz targets, one after the other, on stable Rust: coverage is a pass of LLVM that rustc takes by name, and
# libFuzzer comes with the crate libfuzzer-sys. (cargo-fuzz works, too; it wants a nightly compiler.)
#
#   fuzz/run.sh SECONDS [TARGET...]   runs each target (all of them without a name) so long; what it learns goes to
#                                     fuzz/learned, a finding to fuzz/artifacts, and a finding ends the run
#   fuzz/run.sh merge [TARGET...]     adds to the committed corpora a few inputs that reach the lines of code which only fuzz/learned
#                                     reaches (what only loops or compares otherwise is not worth a file)
#   fuzz/run.sh build                 builds all targets
set -eu
cd "$(dirname "$0")"

host=$(rustc -vV | sed -n 's/^host: //p')
# Named explicitly, so that build scripts and macros are not instrumented.
export CARGO_BUILD_TARGET="$host" CARGO_TARGET_DIR="$PWD/target" CARGO_INCREMENTAL=0
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
# The same versions as in the product.
cp ../Cargo.lock Cargo.lock

build() {
    if [ $# -eq 0 ]; then cargo build --release --bins; else
        # shellcheck disable=SC2046  # two words for each name
        cargo build --release $(printf ' --bin %s' "$@")
    fi
}

what=${1:-}
[ -n "$what" ] || { sed -n 's/^#   //p' "$0"; exit 2; }
shift
build "$@"
[ "$what" != build ] || exit 0
[ $# -gt 0 ] || set -- $(for file in fuzz_targets/*.rs; do basename "$file" .rs; done)

for target in "$@"; do
    binary="target/$host/release/$target"
    corpus="corpus/$target"
    learned="learned/$target"
    mkdir -p "$corpus" "$learned" "artifacts/$target"
    options="-timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 -artifact_prefix=artifacts/$target/"
    [ ! -f "dictionaries/$target.dict" ] || options="$options -dict=dictionaries/$target.dict"
    echo "== $target"
    if [ "$what" = merge ]; then
        # shellcheck disable=SC2086  # a list of options
        "$binary" $options -use_counters=0 -use_cmp=0 -set_cover_merge=1 "$corpus" "$learned"
    else
        # shellcheck disable=SC2086
        "$binary" $options "-max_total_time=$what" "$learned" "$corpus"
    fi
done
