"""The API's address and our credentials: by the pod's service account (two variables and two files), or by a kubeconfig.

The kubernetes package, which costs 20 MiB resident, is imported for kubeconfigs only, for all their forms and exec plugins.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3

if TYPE_CHECKING:
    from kubernetes.client import Configuration

# ruff: noqa: PLC0415

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # mounted by the kubelet
# Raised for YAML that is no kubeconfig, and for a value that does not fit its tag or place.
UNFIT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
CONNECTIONS = 4  # kept open: the watch and the Events need one each


class NoCredentialsError(Exception):
    """There are none, or they can't be used: which and why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``authorization`` returns the header's present value, "" for none; raises NoCredentialsError."""

    server: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str]


def in_cluster(environ: Mapping[str, str] = os.environ, *, lax_ca: bool) -> Endpoint:
    """By the pod's service account. Raises NoCredentialsError, OSError, ValueError."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not (host and port):
        raise NoCredentialsError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    ca_file = SERVICE_ACCOUNT / "ca.crt"
    if not ca_file.read_bytes():
        raise NoCredentialsError(f"{ca_file} is empty")
    _bearer()
    options: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED", "ca_certs": str(ca_file), "maxsize": CONNECTIONS}
    if lax_ca:
        options["ssl_context"] = lax_context(str(ca_file))
    proxy = _proxy(server)
    pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    return Endpoint(server, pool, _bearer)


def _bearer() -> str:
    """The token is read for each request: the kubelet rotates it."""
    file = SERVICE_ACCOUNT / "token"
    try:
        token = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise NoCredentialsError(f"{file}: {error}") from error
    if not token:
        raise NoCredentialsError(f"{file} is empty")
    return f"Bearer {token}"


def _proxy(server: str) -> str | None:
    """HTTPS_PROXY, unless NO_PROXY names the server, or a network that it is in."""
    proxies, url = getproxies_environment(), urlsplit(server)
    networks = proxies.get("no", "").split(",")
    excluded = proxy_bypass(url.netloc) or any(_contains(one.strip(), url.hostname) for one in networks)
    return None if excluded else proxies.get("https")


def _contains(network: str, address: str | None) -> bool:
    try:
        return ip_address(address or "") in ip_network(network, strict=False)
    except ValueError:
        return False  # one of the two is a name


def by_kubeconfig(path: Path, *, lax_ca: bool) -> Endpoint:
    """By a kubeconfig's current context. Raises NoCredentialsError, OSError, ValueError."""
    from kubernetes.client import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import ConfigException, load_kube_config
    from yaml import YAMLError

    configuration = Configuration()
    try:
        load_kube_config(config_file=str(path), client_configuration=configuration)
        pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
        if not isinstance(configuration.tls_server_name, str | None):
            raise TypeError("tls-server-name is not a string")
    except (ConfigException, YAMLError) as error:
        raise NoCredentialsError(str(error)) from error
    except UNFIT as error:
        raise _unfit(error) from error

    def authorization() -> str:
        """The loader's hook reads a rotated token again, or runs the plugin again."""
        try:
            settings: Mapping[str, Mapping[str, Any]] = configuration.auth_settings()
        except (ConfigException, OSError) as error:
            raise NoCredentialsError(str(error)) from error
        except UNFIT as error:
            raise _unfit(error) from error
        token = settings.get("BearerToken", {}).get("value") or ""
        return str(token).strip()  # token files often end with a line break

    if lax_ca:
        pool.connection_pool_kw["ssl_context"] = _lax_context_of(configuration)
    return Endpoint(str(configuration.host), pool, authorization)


def _unfit(error: Exception) -> NoCredentialsError:
    return NoCredentialsError(f"a value is none of a kubeconfig, or of its plugin: {type(error).__name__}: {error}")


def _lax_context_of(configuration: Configuration) -> ssl.SSLContext:
    context = lax_context(configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def lax_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies as before Python 3.13: chain and name, without VERIFY_X509_STRICT (RFC 5280)."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
