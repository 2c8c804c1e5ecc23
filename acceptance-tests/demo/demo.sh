#!/bin/sh
# `make demo` and `make demo-down`: a real apply of examples/onboarding on this machine.
#
#   demo.sh up      builds, starts the platform and the control plane in .dev/, applies the example
#                   twice (the second must have nothing to do), and leaves all running to look at
#   demo.sh down    stops everything that `up` started and removes .dev/; safe to repeat
#
# The connectors' far ends (a container registry, webhook receivers) are `local-platform far-side`.
# DEMO_CLI=terraform or DEMO_CLI=tofu says which one applies; by default terraform where it is
# installed, otherwise tofu.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
dev=$root/.dev
bin=${CARGO_TARGET_DIR:-$root/target}/debug
work=$dev/onboarding
# The first start on a machine downloads the systems and builds Kubernetes.
start_deadline_s=1800

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
    printf '\ndemo: %s\n' "$*" >&2
    exit 1
}

# ---- processes ---------------------------------------------------------------------------------

# runs NAME: whether the process that `start NAME` wrote down is still that process. An id alone
# is not enough, since ids are given out again: the moment it began is written down with it.
runs() {
    [ -f "$dev/$1.pid" ] || return 1
    read -r pid began <"$dev/$1.pid" || return 1
    [ -n "$began" ] && [ "$(began_at "$pid")" = "$began" ]
}

# began_at PID: clock ticks from boot to the start of a process, field 22 of its stat; the second
# field, its name in parentheses, may itself hold spaces. Empty when it is gone or a zombie.
began_at() {
    sed -e 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

# start NAME COMMAND…: in the background, in a session of its own, so that a Ctrl-C does not reach it.
start() {
    name=$1
    shift
    : >"$dev/$name.out"
    : >"$dev/$name.log"
    setsid "$@" >"$dev/$name.out" 2>"$dev/$name.log" </dev/null &
    printf '%s %s\n' "$!" "$(began_at "$!")" >"$dev/$name.pid"
}

# stop NAME: asks it to end, and kills it when it has not after half a minute.
stop() {
    if runs "$1"; then
        kill -TERM "$pid" 2>/dev/null || true
        waited=0
        while runs "$1" && [ "$waited" -lt 150 ]; do
            sleep 0.2
            waited=$((waited + 1))
        done
        if runs "$1"; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$dev/$1.pid"
}

# await NAME PATTERN: shows what NAME logs until a line of its output matches; prints that line.
await() {
    shown=0
    waited=0
    until grep -m 1 -E "$2" "$dev/$1.out" 2>/dev/null; do
        lines=$(wc -l <"$dev/$1.log")
        if [ "$lines" -gt "$shown" ]; then
            sed -n "$((shown + 1)),${lines}s/^/  /p" "$dev/$1.log" >&2
            shown=$lines
        fi
        runs "$1" || {
            sed -n "$((shown + 1)),\$p" "$dev/$1.log" >&2
            fail "$1 ended; its log is $dev/$1.log"
        }
        [ "$waited" -lt "$((start_deadline_s * 5))" ] || fail "$1 is not ready after $start_deadline_s s"
        sleep 0.2
        waited=$((waited + 1))
    done
}

# ---- steps -------------------------------------------------------------------------------------

build() {
    say "Building the control plane, the provider and the local platform"
    (cd "$root" && cargo build -p integraci-server -p terraform-provider-integraci -p local-platform)
}

# Which CLI applies; `local-platform` builds tofu once, into its cache, when neither is there.
choose_cli() {
    cli=${DEMO_CLI:-}
    if [ -z "$cli" ]; then
        if command -v terraform >/dev/null 2>&1; then cli=terraform; else cli=tofu; fi
    fi
    case $cli in
    terraform) program=$(command -v terraform) || fail "terraform is not installed" ;;
    tofu) program=$("$bin/local-platform" get tofu) ;;
    *) fail "DEMO_CLI is terraform or tofu" ;;
    esac
}

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# The far ends know the credentials that the tenants will present. They are made here, live as long
# as .dev/, and go to the example in a variable, as a user's would from a secret store.
start_far_side() {
    password=$(random)
    hmac_key=$(random)
    install -m 600 /dev/null "$dev/far-side.json"
    install -m 600 /dev/null "$dev/far-side.env"
    cat >"$dev/far-side.json" <<JSON
{
  "registry": {
    "users": { "ci-nordlicht": "$password", "ci-harbour-labs": "$password" },
    "repositories": { "nordlicht/grid-control": ["1.0"], "harbour-labs/api": ["1.0"] }
  },
  "webhooks": {
    "nordlicht-deploys": "$hmac_key",
    "nordlicht-billing": "$hmac_key",
    "harbour-labs-chat": "$hmac_key",
    "quill-site": "$hmac_key"
  }
}
JSON
    start far-side "$bin/local-platform" far-side --config "$dev/far-side.json"
    far_side=$(await far-side '^http://')
    cat >"$dev/far-side.env" <<ENV
TF_VAR_registry_url='$far_side'
TF_VAR_hooks_url='$far_side/webhooks'
TF_VAR_connector_secrets='{"nordlicht/images":{"password":"$password"},"harbour-labs/images":{"password":"$password"},"nordlicht/deploys":{"hmac_key":"$hmac_key"},"nordlicht/billing":{"hmac_key":"$hmac_key"},"harbour-labs/chat":{"hmac_key":"$hmac_key"},"quill/site":{"hmac_key":"$hmac_key"}}'
ENV
}

start_server() {
    say "Starting the five systems and the control plane in .dev/"
    start server "$bin/integraci-server" dev --dir "$dev/platform"
    await server '^listening on ' >/dev/null
}

# A copy of the example, unchanged, and a mirror that holds the provider just built: what a registry
# would do. Everything the CLI needs is in env.sh, for the user's own commands as well.
prepare_workdir() {
    mkdir -p "$work"
    cp "$root"/examples/onboarding/*.tf "$root/examples/onboarding/tenants.yaml" "$work/"
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
    case $(uname -m) in
    x86_64) arch=linux_amd64 ;;
    aarch64) arch=linux_arm64 ;;
    *) fail "no idea what terraform calls a $(uname -m)" ;;
    esac
    for host in registry.terraform.io registry.opentofu.org; do
        place=$dev/mirror/$host/integraci/integraci/$version/$arch
        mkdir -p "$place"
        cp "$bin/terraform-provider-integraci" "$place/"
    done
    cat >"$dev/cli.tfrc" <<RC
provider_installation {
  filesystem_mirror {
    path    = "$dev/mirror"
    include = ["integraci/integraci"]
  }
  direct {
    exclude = ["integraci/integraci"]
  }
}
RC
    cat >"$dev/env.sh" <<ENV
# For a shell that is to work with the demo: . .dev/env.sh
set -a
TF_CLI_CONFIG_FILE='$dev/cli.tfrc'
CHECKPOINT_DISABLE=1
. '$dev/platform/dev.env'
. '$dev/far-side.env'
set +a
ENV
}

# Looks through the state for every secret that was applied.
check_state() {
    for secret in "$password" "$hmac_key" "$INTEGRACI_TOKEN"; do
        if grep -q -F "$secret" "$work"/terraform.tfstate*; then
            fail "a secret is in the state file"
        fi
    done
}

show() {
    say "What was made"
    "$program" -chdir="$work" state list | sed 's/^/  /'
    say "Where it is"
    cat <<TEXT
  control plane   $INTEGRACI_ENDPOINT   (API reference: $INTEGRACI_ENDPOINT/docs)
  far ends        $far_side   (the tenants' registry and webhooks)
  systems         a place a tenant in each, named tenant-<slug>:
$(sed -n 's/^  \(postgres\|openbao\|nats\|keycloak\|kubernetes\) /                    \1 /p' "$dev/server.out")
  state           $work/terraform.tfstate: searched for the secrets and the token, none is there
TEXT
}

next_steps() {
    say "It all keeps running. To look around:"
    cat <<TEXT
  . .dev/env.sh && cd .dev/onboarding
  $program plan      # after an edit of tenants.yaml, say
  curl -s -H "Authorization: Bearer \$INTEGRACI_TOKEN" \$INTEGRACI_ENDPOINT/v1/tenants
  make demo-down      # at the root: stops everything, removes .dev/
TEXT
}

up() {
    mkdir -p "$dev"
    if runs server; then
        fail "the demo is running already: see .dev/env.sh, or stop it with \`make demo-down\`"
    fi
    build
    choose_cli
    trap 'down; exit 130' INT TERM
    start_far_side
    start_server
    prepare_workdir
    # shellcheck source=/dev/null
    . "$dev/env.sh"

    say "$cli apply of examples/onboarding"
    "$program" -chdir="$work" init -input=false -no-color >"$dev/init.log" 2>&1 ||
        { cat "$dev/init.log" >&2; fail "$cli init failed"; }
    "$program" -chdir="$work" apply -input=false -auto-approve

    say "$cli apply again, which must have nothing to do"
    "$program" -chdir="$work" apply -input=false -auto-approve | tee "$dev/second-apply.log"
    grep -q 'No changes' "$dev/second-apply.log" || fail "the second apply had something to do"

    check_state
    show
    next_steps
    trap - INT TERM
}

down() {
    stop server
    stop far-side
    rm -rf "$dev"
    echo "demo: nothing is running, .dev/ is removed"
}

case ${1:-} in
up) up ;;
down) down ;;
*) fail "usage: demo.sh up | down" ;;
esac
