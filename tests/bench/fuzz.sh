#!/usr/bin/env bash
# Fuzzes every parser and the core for the given seconds each; stops at the first crash.
set -euo pipefail
cd "$(dirname "$0")/../../sfu/engine"
seconds=${1:-60}
command -v cargo-fuzz >/dev/null || { echo "needs cargo-fuzz: cargo install cargo-fuzz"; exit 1; }
for target in $(cargo fuzz list); do
  echo "== $target"
  # RUSTC_BOOTSTRAP lets a stable toolchain build the sanitizer-coverage flags that cargo-fuzz needs.
  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -timeout=5
done
