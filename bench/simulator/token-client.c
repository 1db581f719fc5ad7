/*
 * Opens streamed completions and notes when each token LEFT the server: loopback hands a packet over inside the
 * sender's system call, and the kernel stamps it there (SO_TIMESTAMPNS). How long this program takes to read does not
 * count. Linux only. A tool of `npm run bench:simulator`, not part of the package.
 *
 *   token-client PORT MODEL STREAMS TOKENS
 *
 * Writes STREAMS x TOKENS doubles to stdout, stream after stream: ms since the program began. Tokens that are read
 * together have the time of the last one. Exit code 1: an answer was not 200, or had another number of tokens.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, EVENTS = 1024 };

static const char EVENT[] = "data: {";
static const char STATUS[] = "HTTP/1.1 200";

typedef struct {
  int fd;
  long seen;
  size_t head_read;
  /* How much of EVENT the bytes so far end with. */
  size_t matched;
  double *times;
} Stream;

static char scratch[READ_SIZE];
static int64_t began_at;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int64_t nanoseconds(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return nanoseconds(time);
}

static void open_stream(Stream *stream, int port) {
  int on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  stream->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (stream->fd < 0) die("socket");
  if (setsockopt(stream->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) die("SO_TIMESTAMPNS");
  if (connect(stream->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
}

static void ask(const Stream *stream, const char *model, int number, long tokens) {
  char body[1024], request[2048];
  int length = snprintf(body, sizeof body,
                        "{\"model\":\"%s\",\"prompt\":[1,2,3,%d],\"max_tokens\":%ld,\"ignore_eos\":true,\"stream\":true}",
                        model, number + 10, tokens);
  int total = snprintf(request, sizeof request,
                       "POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                       "content-length: %d\r\nconnection: close\r\n\r\n%s",
                       length, body);
  if (send(stream->fd, request, (size_t)total, 0) != total) die("send");
}

/* When the kernel took over what was just read; where it has not begun to stamp yet, now. */
static int64_t stamp_of(struct msghdr *message) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
    struct timespec stamp;
    memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
    return nanoseconds(stamp);
  }
  return now();
}

static void count_tokens(Stream *stream, const char *bytes, size_t length, long tokens, double at) {
  for (size_t index = 0; index < length; index++) {
    char byte = bytes[index];
    if (stream->head_read < sizeof STATUS - 1 && byte != STATUS[stream->head_read++]) {
      fprintf(stderr, "an answer is not 200: %.*s\n", (int)length, bytes);
      exit(1);
    }
    /* The event's first letter occurs in it only once, so a mismatch leaves nothing but perhaps that letter. */
    stream->matched = byte == EVENT[stream->matched] ? stream->matched + 1 : byte == EVENT[0];
    if (EVENT[stream->matched] != '\0') continue;
    stream->matched = 0;
    if (stream->seen < tokens) stream->times[stream->seen] = at;
    stream->seen++;
  }
}

/* False at the end of the answer. */
static int read_stream(Stream *stream, long tokens) {
  char control[CMSG_SPACE(sizeof(struct timespec))];
  struct iovec buffer = {scratch, sizeof scratch};
  struct msghdr message = {.msg_iov = &buffer, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(stream->fd, &message, MSG_DONTWAIT);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
  if (length < 0) die("recvmsg");
  if (length == 0) return 0;
  count_tokens(stream, scratch, (size_t)length, tokens, (double)(stamp_of(&message) - began_at) / 1e6);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: token-client PORT MODEL STREAMS TOKENS\n");
    return 2;
  }
  int port = atoi(argv[1]), count = atoi(argv[3]);
  long tokens = atol(argv[4]);
  Stream *streams = calloc((size_t)count, sizeof *streams);
  double *times = calloc((size_t)count * (size_t)tokens, sizeof *times);
  if (streams == NULL || times == NULL) die("calloc");
  int epoll_fd = epoll_create1(0);
  if (epoll_fd < 0) die("epoll_create1");
  began_at = now();
  for (int number = 0; number < count; number++) {
    streams[number].times = times + (size_t)number * (size_t)tokens;
    open_stream(&streams[number], port);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &streams[number]};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, streams[number].fd, &wanted) < 0) die("epoll_ctl");
  }
  for (int number = 0; number < count; number++) ask(&streams[number], argv[2], number, tokens);
  struct epoll_event ready[EVENTS];
  for (int open = count; open > 0;) {
    int found = epoll_wait(epoll_fd, ready, EVENTS, -1);
    if (found < 0 && errno != EINTR) die("epoll_wait");
    for (int index = 0; index < found; index++) {
      Stream *stream = ready[index].data.ptr;
      if (read_stream(stream, tokens)) continue;
      if (stream->seen != tokens) {
        fprintf(stderr, "an answer has %ld tokens, not %ld\n", stream->seen, tokens);
        return 1;
      }
      close(stream->fd);
      open--;
    }
  }
  if (fwrite(times, sizeof *times, (size_t)count * (size_t)tokens, stdout) != (size_t)count * (size_t)tokens) die("fwrite");
  return 0;
}
