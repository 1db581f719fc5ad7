#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine with NVIDIA GPUs as a runner of lmcache-ci.
#
#   ci/setup-gpu-host.sh --check             say what is missing, change nothing; exit 1 if anything is
#   sudo ci/setup-gpu-host.sh [--user NAME]  install what is missing; NAME (the CI agent's user) may use Docker
#
# Run it as often as you like: what is there is left as it is. The NVIDIA driver itself is not installed.
set -euo pipefail

check_only=0
agent_user=""

usage() {
  sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

while (($# > 0)); do
  case "$1" in
    --check) check_only=1 ;;
    --user)
      agent_user="${2:?--user needs the name of a user}"
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      printf 'unknown option "%s"\n\n' "$1" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done

missing=0

ok() { printf 'ok       %s\n' "$*"; }
lacks() {
  printf 'missing  %s\n' "$*"
  missing=$((missing + 1))
}
has() { command -v "$1" >/dev/null 2>&1; }

has_gpus() { has nvidia-smi && (($(nvidia-smi --list-gpus 2>/dev/null | wc -l) >= 2)); }
has_docker() { has docker && docker info >/dev/null 2>&1; }
has_buildkit() { has docker && docker buildx version >/dev/null 2>&1; }
has_nvidia_runtime() { has docker && docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q '"nvidia"'; }
has_node() {
  has node && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);' >/dev/null 2>&1
}
has_python() { has uv || (has python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1); }
may_use_docker() { [[ -z "$agent_user" ]] || id -nG "$agent_user" 2>/dev/null | grep -qw docker; }

# name, test, what it is for
requirements=(
  "gpus|has_gpus|two NVIDIA GPUs that nvidia-smi lists (install the NVIDIA driver)"
  "docker|has_docker|a Docker daemon that answers"
  "buildkit|has_buildkit|the buildx plugin of Docker"
  "nvidia-runtime|has_nvidia_runtime|the nvidia runtime in Docker (NVIDIA Container Toolkit)"
  "node|has_node|Node.js 20.19 or newer"
  "python|has_python|uv, or python3 with venv, for lm_eval"
  "docker-group|may_use_docker|the agent's user in the group docker"
)

install_docker() { apt-get install -y docker.io; }
install_buildkit() { apt-get install -y docker-buildx || apt-get install -y docker-buildx-plugin; }
install_python() { apt-get install -y python3 python3-venv; }
install_docker_group() { usermod -aG docker "$agent_user"; }

install_nvidia_runtime() {
  local key=/usr/share/keyrings/nvidia-container-toolkit.gpg
  local site=https://nvidia.github.io/libnvidia-container
  apt-get install -y curl gpg
  curl -fsSL "$site/gpgkey" | gpg --batch --yes --dearmor -o "$key"
  printf 'deb [signed-by=%s] %s/stable/deb/$(ARCH) /\n' "$key" "$site" >/etc/apt/sources.list.d/nvidia-container-toolkit.list
  apt-get update
  apt-get install -y nvidia-container-toolkit
  nvidia-ctk runtime configure --runtime=docker
  systemctl restart docker
}

install() {
  case "$1" in
    # Neither a driver nor Node.js 20 comes from every distribution's own packages: that is the owner's choice.
    gpus | node) return 1 ;;
    docker) install_docker ;;
    buildkit) install_buildkit ;;
    nvidia-runtime) install_nvidia_runtime ;;
    python) install_python ;;
    docker-group) install_docker_group ;;
  esac
}

if ((check_only == 0)) && [[ "$(id -u)" != 0 ]]; then
  echo 'installing needs root: run it with sudo, or with --check to look only' >&2
  exit 2
fi

export DEBIAN_FRONTEND=noninteractive
for requirement in "${requirements[@]}"; do
  IFS='|' read -r name test what <<<"$requirement"
  if "$test"; then
    ok "$what"
  elif ((check_only == 1)); then
    lacks "$what"
  else
    echo "install  $what"
    # The log of the installer is long and only of interest when it fails.
    if log="$(install "$name" 2>&1)" && "$test"; then
      ok "$what"
    else
      printf '%s\n' "$log" | tail -n 20
      lacks "$what"
    fi
  fi
done

if ((missing > 0)); then
  printf '\n%d missing.\n' "$missing"
  exit 1
fi
printf '\nready: "npm run mp-test" runs here; "npx lmcache-ci doctor" looks closer.\n'
