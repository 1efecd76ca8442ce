"""Rules for images that cannot be pulled. Messages: kubelet's images, containerd (resolver, authorizer), CRI-O, Docker.

Since 1.32 the kubelet repeats the cause in ImagePullBackOff; before, only ErrImagePull has it.
"""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule
from agent.model.diagnosis import Category

PULL = {At.PULL: Category.ERR_IMAGE_PULL, At.PULL_BACK_OFF: Category.IMAGE_PULL_BACK_OFF}
HOST = r"(?:(?:Get|Head|Post) \"?https?://(?P<host>[a-z0-9.:\[\]-]{1,253})[^\n]{0,400}?)?"

IMAGES: tuple[Rule, ...] = (
    Rule("image-never-pull", PULL, NO, NO,
        ("the image {image} is not on the node, and imagePullPolicy Never forbids pulling it",
         "the image is not on the node, and imagePullPolicy Never forbids pulling it"),
        ("set imagePullPolicy: IfNotPresent, or load {image} onto the node", "set imagePullPolicy: IfNotPresent, or load it onto the node"),
        ("ErrImageNeverPull",)),
    Rule("image-bad-name", PULL, NO, NO,
        ("{image} is not a valid image name", "the image name is not valid"),
        ("correct the name {image}: registry/path:tag in lower case, and only one tag",
         "correct the image name: registry/path:tag in lower case"),
        says=(r"InvalidImageName|couldn't parse image|invalid reference format|short-name .*(?:cannot prompt|did not resolve)|"
              r"ambiguous list|could not parse reference")),
    Rule("image-signature", PULL, NO, NO,
        ("the image's signature is missing, or the node's policy does not accept it",),
        ("sign the image, or correct the node's signature policy",),
        says=r"SignatureValidationFailed|signature .{0,80}(?:required|invalid|not accepted)|rejected by policy"),
    Rule("image-kubelet-rate", PULL, YES, YES,
        ("the kubelet delayed the pull: too many pulls at once on this node",),
        ("nothing, the kubelet retries; registryPullQPS and registryBurst in its configuration set the rate",),
        says=r"pull QPS exceeded"),
    Rule("image-rate-limit", PULL, YES, YES,
        ("the registry's pull limit for this node or its user is reached",),
        ("log in with imagePullSecrets (a higher limit), or pull {image} through your own mirror or cache",
         "log in with imagePullSecrets (a higher limit), or pull through your own mirror or cache"),
        says=r"toomanyrequests|too many requests|rate ?limit"),
    Rule("image-platform", PULL, NO, NO,
        ("the image has no variant for this node's processor or operating system",),
        ("build {image} for the node's platform too, or keep the pod off such nodes with a nodeSelector on kubernetes.io/arch",
         "build the image for the node's platform too, or keep the pod off such nodes with a nodeSelector on kubernetes.io/arch"),
        says=(r"no match(?:ing manifest)? for (?:platform|linux/|windows/)|no image found in (?:manifest list|image index)|"
              r"does not match the specified platform")),
    Rule("image-no-registry", PULL, PERHAPS, PERHAPS,
        ("the answer is not from a registry, but a proxy or login page",),
        ("check the node's proxy and the mirror configured for this registry",),
        says=r"unexpected media type text/html|invalid character '<' looking for"),
    Rule("image-unauthorised", PULL, NO, NO,
        ("the registry requires a login with access to {image}, or has no such image",
         "the registry requires a login with access to the image, or has no such image"),
        ("check the name {image}, and that the imagePullSecrets of the pod or its service account exist and are valid for this registry",
         "check the name, and that the imagePullSecrets of the pod or its service account exist and are valid for this registry"),
        says=(r"unauthori[sz]ed|authentication required|authorization failed|insufficient_scope|pull access denied|"
              r"access .{0,40}denied|denied: |failed to authorize|no basic auth credentials|forbidden|invalid username/password|"
              r"failed to fetch (?:anonymous|oauth) token")),
    Rule("image-not-found", PULL, NO, NO,
        ("the registry has no image {image}", "the registry has no such image"),
        ("check the name and tag of {image}, and that it was pushed", "check the image's name and tag, and that it was pushed"),
        says=r"not found|manifest unknown|name unknown|does not exist|no such image"),
    Rule("image-tls", PULL, NO, NO,
        ("the node does not accept the registry's certificate, or the registry has none",),
        ("make the runtime on the node trust the registry's CA, or correct the registry's certificate",),
        says=r"x509:|certificate (?:signed by|has expired|is not valid|verify)|tls: |HTTP response to HTTPS client"),
    Rule("image-disk", PULL, PERHAPS, PERHAPS,
        ("the node has no disk space for the image",),
        ("remove images on the node, or give it more disk; `kubectl describe node` shows DiskPressure",),
        says=r"no space left on device|disk quota exceeded"),
    Rule("image-unreachable", PULL, YES, YES,
        ("the registry at {host} is not reachable from this node", "the registry is not reachable from this node"),
        ("check from the node that {host} resolves, that network and proxy allow the connection, and that the registry is up",
         "check from the node that the registry's name resolves, that network and proxy allow the connection, and that the registry is up"),
        says=(HOST + r"(?:dial tcp|no such host|i/o timeout|connection (?:refused|reset)|handshake timeout|network is unreachable|"
              r"no route to host|server misbehaving|context deadline exceeded|Client\.Timeout|request canceled|"
              r"unexpected EOF|: EOF|proxyconnect|registry is unavailable|RegistryUnavailable|internal server error|bad gateway|"
              r"service unavailable|gateway time-?out)")),
    Rule("image-inspect", PULL, PERHAPS, PERHAPS,
        ("the runtime could not read its copy of the image",),
        ("remove the image from the node (`crictl rmi {image}`) to have it pulled again",
         "remove the image from the node to have it pulled again"),
        ("ImageInspectError",)),
    Rule("image", PULL, PERHAPS, PERHAPS,
        ("the image {image} cannot be pulled; the status does not say why", "the image cannot be pulled; the status does not say why"),
        ("see the Events (`kubectl describe pod -n {namespace} {pod}`): the last `Failed to pull image` has the cause",)),
)  # fmt: skip
