# A run as a service. Build beside a finished run:
#   docker build -t my-shop --build-arg RUN=runs/shop .
#   docker run -p 8000:8000 my-shop
# Mount a folder over /run to serve newer runs without a new image:
#   docker run -p 8000:8000 -v $PWD/runs/shop:/run:ro my-shop
FROM python:3.11-slim
ARG RUN
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY graphrec_pt graphrec_pt
COPY datasets datasets
COPY recipes recipes
# A CPU is enough to serve; the wheels of torch for CUDA are ten times as large.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c constraints.txt '.[serve]'
RUN useradd --create-home graphrec
USER graphrec
COPY --chown=graphrec ${RUN} /run
EXPOSE 8000
HEALTHCHECK --interval=30s --start-period=60s CMD \
  ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"]
CMD ["graphrec", "serve", "/run", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
