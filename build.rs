//! The binary has the web client inside, so that must be built first; this says so better than a macro's error would.

use std::path::Path;
use std::process::exit;

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
    if !Path::new("web/dist/index.html").exists() {
        println!("cargo:warning=the web client is not built yet. Run `make web` (or `npm ci && npm run build` in web/) first");
        eprintln!("web/dist/index.html is missing: run `make web` (or `npm ci && npm run build` in web/) first.");
        exit(1);
    }
}
