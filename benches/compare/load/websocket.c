// A WebSocket echo server, and a client that measures one: one thread each, epoll.
// usage: websocket serve PORT
//        websocket load PORT CONNECTIONS SECONDS     one message in flight a connection; prints a JSON object
// Messages are single text frames of 64 bytes. The opening handshake is RFC 6455's own example, section 1.3: the server
// refuses any other key, because it knows the answer to this one only.
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 64, MASKED = 2 + 4 + PAYLOAD, PLAIN = 2 + PAYLOAD, SAMPLES = 8 << 20 };

static const char ASK[] = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
static const char SWITCH[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char REFUSE[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct conn { int fd, open; uint64_t sent_at; size_t length; char bytes[4096]; };

static int ep, one = 1;
static char frame[MASKED];

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static struct sockaddr_in loopback(const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port)),
    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return a;
}

static struct conn *add(int fd) {
  struct conn *c = calloc(1, sizeof *c);
  c->fd = fd;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event e = {EPOLLIN, {.ptr = c}};
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  return c;
}

// Takes the first `n` bytes away.
static void take(struct conn *c, size_t n) { memmove(c->bytes, c->bytes + n, c->length -= n); }

// The length of the head that has come in whole, or 0.
static size_t head_length(const struct conn *c) {
  const char *end = memmem(c->bytes, c->length, "\r\n\r\n", 4);
  return end ? end + 4 - c->bytes : 0;
}

// Messages are small and one at a time, so that a send never has to wait. False if the connection is gone.
static int put(struct conn *c, const void *bytes, size_t length) {
  return send(c->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static int fill(struct conn *c) {
  ssize_t n = recv(c->fd, c->bytes + c->length, sizeof c->bytes - c->length, 0);
  if (n > 0) c->length += n;
  return n > 0 || (n < 0 && errno == EAGAIN);
}

static int serve_one(struct conn *c) {
  if (!fill(c)) return 0;
  if (!c->open) {
    size_t head = head_length(c);
    if (!head) return 1;
    if (!memmem(c->bytes, head, "dGhlIHNhbXBsZSBub25jZQ==", 24)) return put(c, REFUSE, sizeof REFUSE - 1) & 0;
    take(c, head);
    c->open = 1;
    if (!put(c, SWITCH, sizeof SWITCH - 1)) return 0;
  }
  while (c->length >= MASKED) {
    unsigned char echo[PLAIN] = {0x81, PAYLOAD};
    if ((unsigned char)c->bytes[0] != 0x81 || (unsigned char)c->bytes[1] != (0x80 | PAYLOAD)) return 0;
    for (int i = 0; i < PAYLOAD; i++) echo[2 + i] = c->bytes[6 + i] ^ c->bytes[2 + i % 4];
    take(c, MASKED);
    if (!put(c, echo, sizeof echo)) return 0;
  }
  return 1;
}

static int serve(const char *port) {
  struct sockaddr_in a = loopback(port);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4096)) { perror("websocket: bind"); return 1; }
  struct epoll_event e = {EPOLLIN, {.ptr = NULL}}, events[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1), fd;
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      if (!c) while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) add(fd);
      else if (!serve_one(c)) { close(c->fd); free(c); }
    }
  }
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static int load(const char *port, int connections, int seconds) {
  struct sockaddr_in a = loopback(port);
  uint32_t *latency = malloc(SAMPLES * sizeof *latency);
  size_t echoes = 0, lost = 0;
  frame[0] = (char)0x81; frame[1] = (char)(0x80 | PAYLOAD);
  memcpy(frame + 2, "mask", 4);
  for (int i = 0; i < PAYLOAD; i++) frame[6 + i] = 'x' ^ frame[2 + i % 4];
  for (int i = 0; i < connections; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (void *)&a, sizeof a) || !put(add(fd), ASK, sizeof ASK - 1)) lost++;
    fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  uint64_t begin = now_us(), end = begin + seconds * 1000000ull, now;
  struct epoll_event events[256];
  while ((now = now_us()) < end && lost < (size_t)connections) {
    int n = epoll_wait(ep, events, 256, (end - now) / 1000 + 1);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      int alive = fill(c);
      if (alive && !c->open) {
        size_t head = head_length(c);
        if (!head) continue;
        alive = !memcmp(c->bytes, "HTTP/1.1 101", 12);
        take(c, head);
        c->open = 1;
      } else if (alive) {
        if (c->length < PLAIN) continue;
        alive = (unsigned char)c->bytes[0] == 0x81 && c->bytes[2] == 'x' && c->bytes[PLAIN - 1] == 'x';
        take(c, PLAIN);
        if (echoes < SAMPLES) latency[echoes++] = now_us() - c->sent_at;
      }
      c->sent_at = now_us();
      if (!alive || !put(c, frame, sizeof frame)) { lost++; close(c->fd); }
    }
  }
  double took = (now_us() - begin) / 1e6;
  qsort(latency, echoes, sizeof *latency, ascending);
  if (!echoes) latency[0] = 0;
  size_t last = echoes ? echoes - 1 : 0;
  printf("{\"requests\": %zu, \"seconds\": %.6f, \"lost\": %zu, "
    "\"p50_us\": %u, \"p99_us\": %u, \"p99_9_us\": %u, \"max_us\": %u}\n",
    echoes, took, lost, latency[last / 2], latency[last * 99 / 100], latency[last * 999 / 1000], latency[last]);
  return 0;
}

int main(int argc, char **argv) {
  ep = epoll_create1(0);
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(argv[2]);
  if (argc == 5 && !strcmp(argv[1], "load")) return load(argv[2], atoi(argv[3]), atoi(argv[4]));
  fprintf(stderr, "usage: websocket serve PORT | websocket load PORT CONNECTIONS SECONDS\n");
  return 2;
}
