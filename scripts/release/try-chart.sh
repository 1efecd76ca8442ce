#!/usr/bin/env bash
# Installs the chart in a cluster, runs its test, and removes it without a trace. usage: try-chart.sh CHART IMAGE-TAG   (PROFILE: the chart's)
set -euo pipefail
chart=$1 tag=$2
values=(--set "image.tag=$tag" --set image.pullPolicy=IfNotPresent --set "profile=${PROFILE:-full}")
kubectl create namespace oomward
kubectl label namespace oomward pod-security.kubernetes.io/enforce=privileged
helm install oomward "$chart" --namespace oomward "${values[@]}" --wait --timeout 5m
helm test oomward --namespace oomward --logs
helm upgrade oomward "$chart" --namespace oomward "${values[@]}" --set uninstall=true --wait --timeout 5m
helm uninstall oomward --namespace oomward --wait
kubectl delete namespace oomward
