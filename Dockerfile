# The operator and the runner, in one image: an interpreter, its libraries, the CA certificates and Lockstep.
# No shell, no package manager, no pip, no compiler.

ARG BASE=debian:trixie-slim

# --- an interpreter, chosen package by package ---
FROM ${BASE} AS deps
ARG PYTHON=3.13
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update --quiet=2 \
 && apt-get install --yes --quiet=2 --no-install-recommends python${PYTHON}-venv

# What python needs at run time; the last step of this file imports everything from it.
WORKDIR /packages
RUN apt-get download --quiet=2 \
        base-files libc6 libgcc-s1 libstdc++6 zlib1g libbz2-1.0 liblzma5 libexpat1 libffi8 libssl3t64 libzstd1 \
        libsqlite3-0 libuuid1 ca-certificates \
        python${PYTHON}-minimal libpython${PYTHON}-minimal libpython${PYTHON}-stdlib \
 && mkdir -p /rootfs/var/lib/dpkg/status.d \
 && for package in *.deb; do \
        dpkg-deb --extract "$package" /rootfs; \
        dpkg-deb --field "$package" > "/rootfs/var/lib/dpkg/status.d/${package%%_*}"; \
    done \
 && cd /rootfs \
 && cat usr/share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-certificates.crt \
 && printf 'root:x:0:0::/:/sbin/nologin\nlockstep:x:65532:65532::/tmp:/sbin/nologin\n' > etc/passwd \
 && printf 'root:x:0:\nlockstep:x:65532:\n' > etc/group \
 && printf 'hosts: files dns\n' > etc/nsswitch.conf \
 && find usr/share/doc -type f ! -name copyright -delete \
 && rm -rf usr/share/ca-certificates usr/share/man usr/share/locale usr/share/lintian usr/share/bug usr/share/gcc \
        usr/share/gdb usr/share/info usr/share/applications usr/share/pixmaps usr/share/binfmts usr/games \
        usr/lib/python${PYTHON}/pydoc_data usr/lib/python${PYTHON}/test usr/lib/*/gconv \
        usr/sbin usr/bin/c_rehash usr/bin/ldd etc/default etc/update-motd.d etc/profile.d \
 && mkdir -p usr/sbin && chmod 1777 tmp \
 && python${PYTHON} -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /rootfs \
        /rootfs/usr/lib/python${PYTHON}

# --- the dependencies, by the lock file ---
COPY requirements/runtime.lock /build/runtime.lock
# A build behind a proxy with a CA of its own passes the bundle's path; nothing of it stays.
ARG PIP_CERT
RUN python${PYTHON} -m venv /opt/lockstep \
 && /opt/lockstep/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: \
        --require-hashes --requirement /build/runtime.lock \
 && /opt/lockstep/bin/python -m pip uninstall --quiet --yes pip \
 && cd /opt/lockstep/lib/python${PYTHON}/site-packages \
 # The typed clients: a hundred megabytes that are loaded by name only, and that Lockstep never names (it speaks JSON).
 && find kubernetes/client/models kubernetes/client/api kubernetes/aio/client/models kubernetes/aio/client/api \
        -name '*.py' ! -name '__init__.py' -delete \
 # rich colours Python in its tracebacks, and nothing else.
 && find pygments/lexers -name '*.py' ! -name '__init__.py' ! -name '_mapping.py' ! -name 'python.py' \
        ! -name 'special.py' -delete \
 && rm -rf sqlalchemy/testing pydantic/v1 \
 && find . \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.pyi' \) -delete \
 && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && rm -rf /opt/lockstep/bin /opt/lockstep/include && mkdir /opt/lockstep/bin \
 && ln -s /usr/bin/python${PYTHON} /opt/lockstep/bin/python \
 && ln -s python /opt/lockstep/bin/python3 \
 && python${PYTHON} -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/lockstep/lib \
 && mkdir -p /rootfs/opt && cp -a /opt/lockstep /rootfs/opt/lockstep

# --- Lockstep itself ---
FROM deps AS app
ARG PYTHON=3.13
ARG PIP_CERT
COPY requirements/dev.lock /build/dev.lock
# The build backend, with the hashes of the lock file.
RUN awk '/^[^ #]/ {keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/} keep' /build/dev.lock \
        > /build/hatch.lock \
 && python${PYTHON} -m venv /build/venv \
 && /build/venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
        --requirement /build/hatch.lock
COPY pyproject.toml LICENSE README.md* /build/source/
COPY operator /build/source/operator
RUN cd /build/source \
 && pip='/build/venv/bin/python -m pip --quiet --disable-pip-version-check' \
 && $pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheels . \
 && $pip --python /opt/lockstep/bin/python install --no-deps --no-index --no-compile --ignore-installed \
        /build/wheels/*.whl \
 && cd /opt/lockstep/lib/python${PYTHON}/site-packages \
 && python${PYTHON} -m compileall -q -j 0 --invalidation-mode unchecked-hash "$PWD/lockstep" \
 && mkdir -p "/app$PWD" /app/opt/lockstep/bin \
 && cp -a lockstep lockstep-*.dist-info "/app$PWD/" \
 && cp -a /opt/lockstep/bin/lockstep /app/opt/lockstep/bin/

# --- what ships ---
FROM scratch
COPY --from=deps /rootfs /
ENV PATH=/opt/lockstep/bin:/usr/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
ARG VERSION=dev
LABEL org.opencontainers.image.title="Lockstep" \
      org.opencontainers.image.description="Database migrations in lockstep with deployments: operator and runner" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# By number: Kubernetes checks runAsNonRoot against it; any other number works as well.
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["python"]
CMD ["-m", "lockstep.controller"]
COPY --from=app /app /
# In the image as it ships, nothing that may be imported is missing.
RUN --mount=type=bind,source=deploy/image/check.py,target=/tmp/check.py ["python", "/tmp/check.py"]
