/* A small host of libtrunkline in C11: two nodes in one process; "camera" is published on the first, acquired
 * on the second, and 100 RTP packets cross. Build: cc host.c $(pkg-config --cflags --libs trunkline) */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <trunkline/trunkline.h>

static const char* kConfig =
    "[node]\nid = %d\ncluster = 'lab-host'\nregion = 'here'\nlab = true\nlisten = '127.0.0.1:%d'\n"
    "[wire]\ntrack_namespace = 'example'\nmtu = 1500\nsuite = 'null'\n"
    "[[peer]]\nid = %d\naddress = '127.0.0.1:%d'\n";

static int check(int result, const char* what) { /* prints why a call failed; passes the result on */
  if (result < 0) fprintf(stderr, "%s: %s: %s\n", what, tl_error_name(result), tl_last_error());
  return result;
}

static int open_node(int id, tl_node** node, tl_queue** queue) {
  char config[512];
  snprintf(config, sizeof config, kConfig, id, 47300 + id, 3 - id, 47303 - id);
  tl_options options = {.size = sizeof options, .abi = TL_ABI_VERSION, .config_text = config};
  if (check(tl_open(&options, node), "tl_open") < 0) return -1;
  return check(tl_queue_open(*node, 0, queue), "tl_queue_open");
}

static int wait_event(tl_queue* queue, tl_event* event) { /* at most 5 s; 1 if there was one */
  for (int turn = 0; turn < 50; ++turn) {
    if (tl_queue_events(queue, event, 1) == 1) return 1;
    struct pollfd fd = {.fd = tl_queue_fd(queue), .events = POLLIN};
    if (tl_queue_arm(queue) == 0) poll(&fd, 1, 100);
  }
  return 0;
}

int main(void) {
  tl_node *a, *b;
  tl_queue *from, *to;
  tl_event event;
  uint64_t publication, subscription;
  if (open_node(1, &a, &from) < 0 || open_node(2, &b, &to) < 0) return 1;
  tl_publish_options publish = {.size = sizeof publish, .traffic_class = TL_CLASS_VIDEO_BASE};
  tl_acquire_options acquire = {.size = sizeof acquire, .rendezvous_ms = 2000, .deadline_ms = 3000};
  if (check(tl_node_track_id(a, "camera", publish.track), "tl_node_track_id") < 0) return 1;
  memcpy(acquire.track, publish.track, sizeof acquire.track);
  if (check(tl_publish(from, &publish, &publication), "publish") < 0 || !wait_event(from, &event)) return 1;
  if (check(tl_acquire(to, &acquire, &subscription), "acquire") < 0 || !wait_event(to, &event)) return 1;
  printf("camera: %s from node %d\n", tl_outcome_name(event.outcome), (int)event.node_id);
  unsigned char rtp[172] = {0x80, 96}; /* version 2, payload type 96; sequence number in bytes 2 and 3 */
  tl_packet out = {.data = rtp, .length = sizeof rtp, .handle = publication}, in[32];
  int sent = 0, received = 0, n;
  for (int turn = 0; turn < 5000 && received < 100; ++turn) {
    rtp[3] = (unsigned char)sent;
    if (sent < 100) sent += check(tl_tx_burst(from, &out, 1), "tl_tx_burst") == 1;
    if ((n = tl_rx_burst(to, in, 32)) > 0) received += n, tl_rx_release(to);
    poll(NULL, 0, 1);
  }
  printf("%d packets sent, %d received\n", sent, received);
  tl_queue_close(from), tl_queue_close(to);
  return tl_close(b, 500) | tl_close(a, 500) | (received != 100);
}
