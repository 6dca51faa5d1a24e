#!/bin/sh
# Asks the tools themselves about what lies here: `make deploy-check`, which installs them. `make test` needs none of them; its tests
# of this folder are in src/deployment.rs.
set -eu
cd "$(dirname "$0")"

# Helm, Kubernetes' schemas and the linters are packages of this environment.
tools=$PWD/../.venv-deploy/bin
[ -x "$tools/yamllint" ] || {
    echo "guildhall: .venv-deploy is missing: start this by make deploy-check" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== alerts"
promtool check rules prometheus/alerts.yaml
promtool check config --syntax-only prometheus/scrape.yaml
(cd prometheus && promtool test rules alerts.test.yaml)

echo "== dashboards: every question is one that Prometheus understands"
python3 - "$work/questions.json" <<'PYTHON'
import glob, json, sys
questions = [t["expr"] for f in sorted(glob.glob("grafana/*.json")) for p in json.load(open(f))["panels"] for t in p["targets"]]
known = {"$__rate_interval": "5m", "$region": ".*"}
for name, value in known.items():
    questions = [question.replace(name, value) for question in questions]
rules = [{"record": f"question:{number}", "expr": question} for number, question in enumerate(questions)]
json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, open(sys.argv[1], "w"))
PYTHON
promtool check rules "$work/questions.json"

echo "== units"
for unit in *.service; do
    # The program is not installed here.
    sed 's#/usr/local/bin/guildhall #/bin/true #' "$unit" >"$work/$unit"
    systemd-analyze verify "$work/$unit"
done

echo "== image"
"$tools/hadolint" Containerfile

echo "== compose files: as the specification of Compose wants them"
"$tools/check-jsonschema" --builtin-schema vendor.compose-spec compose.*yaml

echo "== YAML"
# Templates are YAML only after they were rendered, which the next step does.
"$tools/yamllint" --strict --config-data '{extends: relaxed, ignore: [templates/], rules: {line-length: disable}}' .

echo "== chart"
"$tools/python" chart.py
echo "All is well."
