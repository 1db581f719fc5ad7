/*
 * A server whose timing is known: the first token leaves TTFT after the request's body was read, the others ITL apart,
 * on absolute deadlines (timerfd). It keeps the times at which it really sent, so that a client's error can be told
 * request by request. One thread, Linux only. A tool of `npm run bench:client`, not part of the package.
 *
 *   mock-server TTFT_MS ITL_MS      prints "listening PORT"
 *   GET /times      {"id", "firstByteAt", "bodyAt", "firstSentAt", "lastSentAt", "tokens"} of each request, ns of
 *                   CLOCK_MONOTONIC
 *   GET /forget     forgets them
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 8192, MAX_REQUESTS = 1 << 20, HEAD_LIMIT = 16384, READ_SIZE = 1 << 18 };

typedef struct {
  int open, in_body, chat;
  char head[HEAD_LIMIT];
  size_t head_len, body_left;
  /* The end of the body, where max_tokens stands behind the prompt. */
  char tail[1024];
  size_t tail_len;
  int tokens, sent;
  long record;
  int64_t first_byte_at;
} Connection;

typedef struct {
  char id[64];
  int64_t first_byte_at, body_at, first_sent_at, last_sent_at;
  int tokens;
} Record;

typedef struct {
  int64_t at;
  int fd;
} Due;

static Connection *connections[MAX_FD];
static Record *records;
static long record_count;
static Due heap[4 * MAX_FD];
static int heap_size;
static int64_t ttft_ns, itl_ns;
static int timer_fd, epoll_fd;
static char scratch[READ_SIZE];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void heap_push(Due due) {
  int at = heap_size++;
  while (at > 0 && heap[(at - 1) / 2].at > due.at) {
    heap[at] = heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap[at] = due;
}

static Due heap_pop(void) {
  Due top = heap[0], last = heap[--heap_size];
  int at = 0;
  for (;;) {
    int child = 2 * at + 1;
    if (child >= heap_size) break;
    if (child + 1 < heap_size && heap[child + 1].at < heap[child].at) child++;
    if (heap[child].at >= last.at) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return top;
}

static void arm_timer(void) {
  struct itimerspec spec = {0};
  if (heap_size > 0) {
    spec.it_value.tv_sec = heap[0].at / 1000000000;
    spec.it_value.tv_nsec = heap[0].at % 1000000000;
  }
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void drop(int fd) {
  /* A deadline of this connection finds it closed and is passed over. */
  if (connections[fd] != NULL) connections[fd]->open = 0;
  for (int at = 0; at < heap_size; at++)
    if (heap[at].fd == fd) heap[at].fd = -1;
  close(fd);
}

/* Answers are far smaller than a socket's buffer: a short write means that the client does not read. */
static int send_all(int fd, const char *bytes, size_t length) {
  ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
  return sent == (ssize_t)length;
}

static void answer(int fd, int status, const char *body) {
  char text[4096];
  int length = snprintf(text, sizeof text,
                        "HTTP/1.1 %d Status\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
                        strlen(body), body);
  if (!send_all(fd, text, (size_t)length)) drop(fd);
}

static void answer_times(int fd) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  fputc('[', out);
  for (long index = 0; index < record_count; index++) {
    Record *r = &records[index];
    fprintf(out,
            "%s{\"id\":\"%s\",\"firstByteAt\":%lld,\"bodyAt\":%lld,\"firstSentAt\":%lld,\"lastSentAt\":%lld,\"tokens\":%d}",
            index > 0 ? "," : "", r->id, (long long)r->first_byte_at, (long long)r->body_at,
            (long long)r->first_sent_at, (long long)r->last_sent_at, r->tokens);
  }
  fputc(']', out);
  fclose(out);
  char head[256];
  snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n", length);
  int flags = 0;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
  send(fd, head, strlen(head), MSG_NOSIGNAL | flags);
  for (size_t done = 0; done < length;) {
    ssize_t sent = send(fd, text + done, length - done, MSG_NOSIGNAL);
    if (sent > 0) done += (size_t)sent;
    else if (errno != EAGAIN) break;
  }
  free(text);
  drop(fd);
}

/* The value of a header, in lower or mixed case. */
static int header(const char *head, const char *name, char *value, size_t size) {
  const char *at = strcasestr(head, name);
  if (at == NULL) return 0;
  at += strlen(name);
  while (*at == ' ') at++;
  size_t length = strcspn(at, "\r\n");
  if (length >= size) length = size - 1;
  memcpy(value, at, length);
  value[length] = 0;
  return 1;
}

static void start_answer(int fd, Connection *c) {
  static const char *names[] = {"\"max_completion_tokens\":", "\"max_tokens\":"};
  c->tail[c->tail_len] = 0;
  c->tokens = 1;
  for (int name = 0; name < 2; name++) {
    char *at = strstr(c->tail, names[name]);
    if (at != NULL) c->tokens = atoi(at + strlen(names[name]));
  }
  c->sent = 0;
  if (record_count == MAX_REQUESTS) die("too many requests");
  c->record = record_count++;
  Record *r = &records[c->record];
  memset(r, 0, sizeof *r);
  header(c->head, "\r\nx-request-id:", r->id, sizeof r->id);
  r->first_byte_at = c->first_byte_at;
  r->body_at = now_ns();
  r->tokens = c->tokens;
  heap_push((Due){.at = r->body_at + ttft_ns, .fd = fd});
}

static void send_token(int fd, Connection *c, int64_t due) {
  char event[1024], text[4096];
  const char *form = c->chat ? "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
                               "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":%s}]}\n\n"
                             : "data: {\"id\":\"c\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\","
                               "\"choices\":[{\"index\":0,\"text\":\" word\",\"logprobs\":null,\"finish_reason\":%s}]}\n\n";
  int is_last = c->sent + 1 >= c->tokens;
  int event_length = snprintf(event, sizeof event, form, is_last ? "\"length\"" : "null");
  int length = 0;
  if (c->sent == 0)
    length = snprintf(text, sizeof text,
                      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                      "transfer-encoding: chunked\r\n\r\n");
  length += snprintf(text + length, sizeof text - (size_t)length, "%x\r\n%s\r\n", event_length, event);
  if (is_last) {
    char end[512];
    int end_length = snprintf(end, sizeof end,
                              "data: {\"id\":\"c\",\"object\":\"%s\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":"
                              "{\"prompt_tokens\":1,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n",
                              c->chat ? "chat.completion.chunk" : "text_completion", c->tokens, c->tokens + 1);
    length += snprintf(text + length, sizeof text - (size_t)length, "%x\r\n%s\r\n0\r\n\r\n", end_length, end);
  }
  Record *r = &records[c->record];
  r->last_sent_at = now_ns();
  if (c->sent == 0) r->first_sent_at = r->last_sent_at;
  c->sent++;
  if (!send_all(fd, text, (size_t)length)) drop(fd);
  else if (!is_last) heap_push((Due){.at = due + itl_ns, .fd = fd});
}

static void handle_head(int fd, Connection *c) {
  char length[32];
  c->body_left = header(c->head, "\r\ncontent-length:", length, sizeof length) ? strtoul(length, NULL, 10) : 0;
  int is_get = strncmp(c->head, "GET ", 4) == 0;
  const char *path = strchr(c->head, ' ') + 1;
  c->chat = strncmp(path, "/v1/chat/completions", 20) == 0;
  c->tail_len = 0;
  if (!is_get && (c->chat || strncmp(path, "/v1/completions", 15) == 0)) {
    c->in_body = 1;
    return;
  }
  /* Whatever else has a body is refused before it is read: the connection ends. */
  if (!is_get) {
    answer(fd, 404, "{}");
    if (c->open) drop(fd);
  } else if (strncmp(path, "/times", 6) == 0) answer_times(fd);
  else if (strncmp(path, "/forget", 7) == 0) {
    record_count = 0;
    answer(fd, 200, "{}");
  } else if (strncmp(path, "/v1/models", 10) == 0)
    answer(fd, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"root\":\"m\"}]}");
  else answer(fd, strncmp(path, "/health", 7) == 0 ? 200 : 404, "{}");
}

static void receive(int fd, Connection *c) {
  for (;;) {
    ssize_t count = recv(fd, scratch, sizeof scratch, 0);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count <= 0) {
      drop(fd);
      return;
    }
    size_t at = 0;
    while (at < (size_t)count) {
      if (!c->in_body) {
        if (c->head_len == 0) c->first_byte_at = now_ns();
        if (c->head_len + 1 >= HEAD_LIMIT) {
          drop(fd);
          return;
        }
        c->head[c->head_len++] = scratch[at++];
        if (c->head_len < 4 || memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) != 0) continue;
        c->head[c->head_len] = 0;
        c->head_len = 0;
        handle_head(fd, c);
        if (!c->open) return;
        continue;
      }
      size_t part = (size_t)count - at < c->body_left ? (size_t)count - at : c->body_left;
      size_t keep = part < sizeof c->tail - 1 ? part : sizeof c->tail - 1;
      size_t old = c->tail_len + keep < sizeof c->tail ? c->tail_len : sizeof c->tail - 1 - keep;
      memmove(c->tail, c->tail + c->tail_len - old, old);
      memcpy(c->tail + old, scratch + at + part - keep, keep);
      c->tail_len = old + keep;
      at += part;
      c->body_left -= part;
      if (c->body_left == 0) {
        c->in_body = 0;
        start_answer(fd, c);
      }
    }
  }
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= MAX_FD) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connections[fd] == NULL) connections[fd] = malloc(sizeof(Connection));
    if (connections[fd] == NULL) die("malloc");
    memset(connections[fd], 0, sizeof(Connection));
    connections[fd]->open = 1;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: mock-server TTFT_MS ITL_MS\n");
    return 2;
  }
  ttft_ns = (int64_t)(atof(argv[1]) * 1e6);
  itl_ns = (int64_t)(atof(argv[2]) * 1e6);
  records = calloc(MAX_REQUESTS, sizeof(Record));
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (records == NULL || listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
      listen(listener, 4096) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
    die("listen");
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = timer_fd});
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    arm_timer();
    int count = epoll_wait(epoll_fd, events, 256, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int index = 0; index < count; index++) {
      int fd = events[index].data.fd;
      /* Tokens that are due go first, and again between requests: a long body must not hold them up. */
      while (heap_size > 0 && (heap[0].fd < 0 || heap[0].at <= now_ns())) {
        Due due = heap_pop();
        if (due.fd >= 0) send_token(due.fd, connections[due.fd], due.at);
      }
      if (fd == listener) accept_all(listener);
      else if (fd == timer_fd) {
        uint64_t expirations;
        if (read(timer_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timerfd");
      } else if (connections[fd] != NULL && connections[fd]->open) receive(fd, connections[fd]);
    }
  }
}
