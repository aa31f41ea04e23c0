#!/usr/bin/env bash
# Copies into the chart what of config/ it takes as it is: Helm reads no file outside of a chart.
set -euo pipefail
cd "$(dirname "$0")/.."
files=charts/tidewaiter/files
rm -rf "$files"
mkdir -p "$files/crd" "$files/static"
cp config/crd/bases/*.yaml "$files/crd/"
for part in rbac manager webhook admission; do
  for file in config/"$part"/*.yaml; do
    case "$file" in
      */kustomization.yaml | config/manager/namespace.yaml | config/manager/deployment.yaml) ;;
      *) cp "$file" "$files/static/$part-$(basename "$file")" ;;
    esac
  done
done
