#!/bin/sh
# Asks the tools themselves about what lies here: `make deploy-check`. `make test` needs none of them; its tests of this folder are
# in src/deployment.rs.
set -eu
cd "$(dirname "$0")"

need() {
    command -v "$1" >/dev/null || {
        echo "guildhall: $1 is missing: $2" >&2
        exit 1
    }
}
need promtool "apt-get install prometheus"
need helm "https://helm.sh/docs/intro/install/"
need systemd-analyze "it comes with systemd"
need python3 "apt-get install python3"

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

echo "== chart"
small="--set publicHost=chat.example.org,joinSecret.existingSecret=join,controlPlane.defaultRegion=eu,voice.domain=voice.example.org"
small="$small,voice.tls.existingSecret=voice,voice.regions[0].name=eu"
helm lint --strict --values helm/guildhall/ci-values.yaml helm/guildhall
helm template demo helm/guildhall --values helm/guildhall/ci-values.yaml >"$work/full.yaml"
# shellcheck disable=SC2086  # a list of words
helm template guildhall helm/guildhall $small >"$work/small.yaml"
if helm template demo helm/guildhall >/dev/null 2>&1; then
    echo "guildhall: the chart must not be rendered without the values that have no default" >&2
    exit 1
fi
# pip install kubernetes-validate; resources of other projects (KEDA, cert-manager, the Prometheus operator) it does not know.
if command -v kubernetes-validate >/dev/null; then
    kubernetes-validate --strict "$work/full.yaml" "$work/small.yaml"
fi
echo "All is well."
