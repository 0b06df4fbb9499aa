// trunkline: one command. Each subcommand is a room of its own under tools/; this file only reads the command
// line.
#include <CLI/CLI.hpp>
#include <string>

#include "tools/demo/demo_command.h"
#include "tools/doctor/doctor_command.h"
#include "tools/explain/explain_command.h"
#include "tools/keys/keys_command.h"
#include "tools/node/dev_node.h"
#include "tools/node/node_command.h"
#include "trunkline/trunkline.h"

namespace {

namespace tools = trunkline::tools;

// `keys` and the four commands below it, with what the command line says of each.
struct Keys {
  explicit Keys(CLI::App& above)
      : app(above.add_subcommand("keys", "make and show the keys of a cluster and its nodes")) {
    app->require_subcommand(1);
    cluster_app = app->add_subcommand("cluster", "make the key that signs the certificates of a cluster");
    cluster_app->add_option("--name", cluster.name, "the cluster's name, as node.cluster")->required();
    cluster_app->add_option("--out", cluster.out, "directory for the two files")->required();

    node_app = app->add_subcommand("node", "make a node's key and its certificate");
    node_app->add_option("--cluster-key", node.cluster_key, "file with the cluster's secret key")->required();
    node_app->add_option("--node", node.node, "the node's id, as node.id")->required();
    node_app->add_option("--region", node.region, "where it runs, as node.region")->required();
    node_app->add_option("--role", node.roles, "publish | acquire | relay; may be given again; without: all");
    node_app->add_option("--days", node.days, "how long the certificate is valid")
        ->check(CLI::Range(1, 3650));
    node_app->add_option("--node-key", node.node_key,
                         "file with the node's secret or public key: only a certificate is made");
    node_app->add_option("--out", node.out, "directory for the files")->required();

    show_app = app->add_subcommand("show", "what a file holds; of a secret only what is public");
    show_app->add_option("file", show.file, "a key or a certificate")->required();
    show_app->add_option("--trust", show.trusted,
                         "file with a cluster's public key: judges a certificate; at most two");
    public_app = app->add_subcommand("public", "the public line of a key or a certificate");
    public_app->add_option("file", public_file, "a key or a certificate")->required();
  }
  int run() const {
    if (*cluster_app) return tools::run_keys_cluster(cluster);
    if (*node_app) return tools::run_keys_node(node);
    if (*show_app) return tools::run_keys_show(show);
    return tools::run_keys_public(public_file);
  }

  CLI::App* app;
  CLI::App *cluster_app, *node_app, *show_app, *public_app;
  tools::KeysClusterCommand cluster;
  tools::KeysNodeCommand node;
  tools::KeysShowCommand show;
  std::string public_file;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trunkline: the trunk between SFU nodes"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("trunkline ") + tl_version());
  app.footer("First time? Try: trunkline demo");

  tools::NodeCommand node;
  CLI::App* node_app = app.add_subcommand("node", "run one node from a configuration file");
  node_app->add_option("-c,--config", node.config_path, "TOML file; see docs/operations.md");
  node_app
      ->add_option("--dev", node.dev,
                   "no file: node 1 to 4 of a mesh on this machine alone, sealed with throw-away keys")
      ->check(CLI::Range(uint64_t{1}, tools::kDevNodes));
  node_app->add_flag("--check-config", node.check_config,
                     "validate the file, open no socket, print OK or the error");
  node_app->add_flag("--print-topology", node.print_topology,
                     "print the rings and the memory sum, start nothing");
  node_app->add_option("--log-format", node.log_format, "human | json")
      ->check(CLI::IsMember({"human", "json"}));
  node_app->add_option("--log-level", node.log_level, "debug | info | warn | error");

  tools::DemoCommand demo;
  CLI::App* demo_app =
      app.add_subcommand("demo", "three nodes on three continents, on this machine, in one minute");
  demo_app->add_option("--seconds", demo.seconds, "length of act one")->check(CLI::Range(1, 3600));
  demo_app->add_option("--tracks", demo.tracks, "tracks published (half video, half audio)")
      ->check(CLI::Range(1, 400));
  demo_app->add_option("--port", demo.port, "auto | mmsg | uring")
      ->check(CLI::IsMember({"auto", "mmsg", "uring"}));

  tools::DoctorCommand doctor;
  CLI::App* doctor_app = app.add_subcommand(
      "doctor", "what this machine offers, what is missing, and the command that repairs it");
  doctor_app->add_flag("--json", doctor.json, "one JSON object per line");
  doctor_app->add_option("--interface", doctor.interface, "which one AF_XDP would share with the kernel");

  tools::ExplainCommand explain;
  CLI::App* explain_app = app.add_subcommand(
      "explain", "why does this track (not) flow on a running node? The first line says it");
  explain_app->add_option("track", explain.track, "its name, or its id: 32 hexadecimal digits")->required();
  explain_app->add_option("-c,--config", explain.config_path,
                          "the node's TOML file: node.admin is its socket");
  explain_app->add_option("--admin", explain.admin_path, "the node's admin socket");
  explain_app->add_flag("--json", explain.json, "one JSON object");

  tools::FlightsCommand flights;
  CLI::App* flights_app = app.add_subcommand(
      "flights", "the last acquires of a running node, the newest first, one JSON object per line");
  flights_app->add_option("count", flights.count, "how many")->check(CLI::Range(1, 1000));
  flights_app->add_option("track", flights.track, "only those of this track");
  flights_app->add_option("-c,--config", flights.config_path,
                          "the node's TOML file: node.admin is its socket");
  flights_app->add_option("--admin", flights.admin_path, "the node's admin socket");

  const Keys keys(app);

  CLI11_PARSE(app, argc, argv);
  if (*node_app) return tools::run_node(node);
  if (*demo_app) return tools::run_demo(demo);
  if (*explain_app) return tools::run_explain(explain);
  if (*flights_app) return tools::run_flights(flights);
  if (*keys.app) return keys.run();
  return tools::run_doctor(doctor);
}
