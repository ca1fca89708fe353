// A minimal HTTP/1.1 keep-alive origin for measuring proxies: one thread, epoll, fixed responses, no pipelining.
// usage: origin PORT
//   /bytes/N     N bytes, at most 16 MiB; every other target: 128 bytes
//   /slow...     128 bytes, 100 ms after the request
// A request's body (Content-Length only) is read and forgotten before the answer.
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOW_MS = 100, KINDS = 32, HEAD = 32 * 1024, LARGEST = 16 << 20 };

struct reply { size_t body, length; char *bytes; };

struct conn {
  int fd, slow, closed, writing;
  size_t body_left, sent;
  const struct reply *reply;            // what is being answered, or NULL between requests
  char *kept; size_t kept_length;       // the beginning of a head that came in pieces
  struct conn *next; uint64_t due;      // the queue of slow answers
};

static struct reply replies[KINDS];
static struct conn *first_slow, *last_slow;
static int ep;

static uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static const struct reply *reply_of(size_t body) {
  struct reply *r = replies;
  for (; r < replies + KINDS - 1 && r->bytes; r++)
    if (r->body == body) return r;
  free(r->bytes);                       // only the last place is ever used again
  r->bytes = malloc(body + 256);
  int head = sprintf(r->bytes, "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\n"
    "Content-Length: %zu\r\n\r\n", body);
  memset(r->bytes + head, 'x', body);
  r->body = body; r->length = head + body;
  return r;
}

static void watch(struct conn *c, uint32_t events) {
  struct epoll_event e = {events, {.ptr = c}};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

// A connection in the queue of slow answers is freed when its turn comes.
static void drop(struct conn *c) {
  close(c->fd);
  c->closed = 1;
  if (!c->slow) { free(c->kept); free(c); }
}

// Sends what is owed. False if the connection is gone.
static int answer(struct conn *c) {
  while (c->reply && c->sent < c->reply->length) {
    ssize_t n = send(c->fd, c->reply->bytes + c->sent, c->reply->length - c->sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN) { drop(c); return 0; }
      if (!c->writing) { c->writing = 1; watch(c, EPOLLIN | EPOLLOUT); }
      return 1;
    }
    c->sent += n;
  }
  c->reply = NULL; c->sent = 0;
  if (c->writing) { c->writing = 0; watch(c, EPOLLIN); }
  return 1;
}

static int finish_request(struct conn *c) {
  if (!c->slow) return answer(c);
  c->due = now_ms() + SLOW_MS; c->next = NULL;
  if (last_slow) last_slow->next = c; else first_slow = c;
  last_slow = c;
  return 1;
}

// Reads the head in `text`, which ends with an empty line.
static void begin_request(struct conn *c, const char *text, size_t length) {
  const char *target = memchr(text, ' ', length);
  size_t body = 128;
  target = target ? target + 1 : text;
  if (!memcmp(target, "/bytes/", 7)) body = strtoul(target + 7, NULL, 10);
  if (body > LARGEST) body = LARGEST;
  c->slow = !memcmp(target, "/slow", 5);
  c->reply = reply_of(body); c->sent = 0; c->body_left = 0;
  if (text[0] != 'G') {
    static char head[HEAD + 1];
    memcpy(head, text, length); head[length] = 0;
    const char *field = strcasestr(head, "\r\ncontent-length:");
    if (field) c->body_left = strtoul(field + 17, NULL, 10);
  }
}

static void readable(struct conn *c) {
  static char buffer[256 * 1024];
  ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN)) { drop(c); return; }
  if (n < 0) return;
  char *text = buffer; size_t length = n;
  if (c->body_left) {
    size_t taken = length < c->body_left ? length : c->body_left;
    c->body_left -= taken;
    if (!c->body_left) finish_request(c);
    return;
  }
  if (c->reply) { drop(c); return; }    // pipelined: not what this origin is for
  if (c->kept) {
    if (c->kept_length + length > HEAD) { drop(c); return; }
    memcpy(c->kept + c->kept_length, buffer, length);
    text = c->kept; length += c->kept_length;
  }
  char *end = memmem(text, length, "\r\n\r\n", 4);
  if (!end) {
    if (length > HEAD) { drop(c); return; }
    if (!c->kept) { c->kept = malloc(HEAD); memcpy(c->kept, text, length); }
    c->kept_length = length;
    return;
  }
  size_t head = end + 4 - text;
  begin_request(c, text, head);
  size_t rest = length - head;
  c->body_left -= rest < c->body_left ? rest : c->body_left;
  free(c->kept); c->kept = NULL; c->kept_length = 0;
  if (!c->body_left) finish_request(c);
}

static void answer_slow(uint64_t now) {
  while (first_slow && first_slow->due <= now) {
    struct conn *c = first_slow;
    first_slow = c->next;
    if (!first_slow) last_slow = NULL;
    c->slow = 0;
    if (c->closed) { free(c->kept); free(c); } else answer(c);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) { fprintf(stderr, "usage: origin PORT\n"); return 2; }
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4096)) { perror("origin: bind"); return 1; }
  ep = epoll_create1(0);
  struct epoll_event e = {EPOLLIN, {.ptr = NULL}}, events[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    int wait = -1;
    if (first_slow) {
      uint64_t now = now_ms();
      answer_slow(now);
      wait = first_slow ? (int)(first_slow->due > now ? first_slow->due - now : 0) : -1;
    }
    int n = epoll_wait(ep, events, 256, wait);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      if (!c) {
        int fd;
        while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          c = calloc(1, sizeof *c); c->fd = fd;
          struct epoll_event new = {EPOLLIN, {.ptr = c}};
          epoll_ctl(ep, EPOLL_CTL_ADD, fd, &new);
        }
      } else if (events[i].events & EPOLLOUT) {
        answer(c);                      // level-triggered: what there is to read is told of again
      } else {
        readable(c);
      }
    }
  }
}
