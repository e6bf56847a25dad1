# Many requests of each kind, one kind after the other: the worker's memory and its
# descriptors stay as they were after the first of them.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(encode_json);

my $count     = volume(200_000, 2000);
my $chatmaid  = plain_chatmaid(server => 'access_log off;');    # it has the key in it
my $redis     = redis_server;
my $sanitized = ($ENV{NGINX} // '') =~ /asan/;
my $body      = event('message.sent');

my $nginx = nginx(
    api      => $chatmaid,
    access   => 'off',
    upstream => 'keepalive 32;',
    http     => 'chatmaid_zone chatmaid:1m; chatmaid_redis ' . $redis->url . ' timeout=30s; chatmaid_idempotency_window 0; keepalive_requests 1000000; chatmaid_webhook_secret_file %DIR%/webhook_secret;',
    files    => {webhook_secret => webhook_secret . "\n", send => encode_json(message), event => $body},
    gateway  => 'chatmaid_sender +15550100001; chatmaid_timeout 100s;',
    server   => <<'END');
        location = /taken   { return 200; }
        location = /webhook { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/taken; }
        location = /every   { chatmaid_webhook on; chatmaid_webhook_dedup 0; proxy_pass http://127.0.0.1:%PORT%/taken; }
END

my ($worker) = $nginx->workers;
my @json = ('-H', 'Content-Type: application/json');
my @send = (@json, '-d', $nginx->dir . '/send');
my @hook = (@json, '-H', 'X-Chatmaid-Signature: ' . sign($body), '-d', $nginx->dir . '/event');

# [what, path, options]
my @kinds = (
    ['fresh sends', '/chatmaid/send', @send],
    ['replays',     '/chatmaid/send', @send, '-H', 'Idempotency-Key: the-same'],
    ['reads',       '/chatmaid/account'],
    ['events',      '/every', @hook],
    ['repeated events', '/webhook', @hook],
    ['refused',     '/chatmaid/send', @json, '-d', $nginx->dir . '/event'],
);

# How many were answered with a status that is no 5xx.
sub load ($requests, $path, @options) {
    my $load = process('h2load', command => ['h2load', '--h1', '-n', $requests, '-c', $requests < 8 ? $requests : 8, @options, $nginx->url($path)]);
    wait_for(sub { !$load->alive }, 'the load to end', 3600);
    my ($two, $three, $four) = $load->text =~ /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx/ or return 0;
    return $two + $three + $four;
}

for my $kind (@kinds) {
    my ($what, $path, @options) = @$kind;
    subtest $what => sub {
        my $first = int($count / 10);
        is(load(1, $path, @options), 1, 'one, so that none of the others finds it under way');
        is(load($first, $path, @options), $first, "$first to begin with");
        my ($rss, $fds) = ($nginx->rss($worker), $nginx->fds($worker));
        is(load($count, $path, @options), $count, "$count more");
        cmp_ok($nginx->fds($worker), '<=', $fds + 16, 'no descriptors are left over');
        cmp_ok($nginx->rss($worker) - $rss, '<', 4096, 'no memory either, in KiB') unless $sanitized;
        $redis->cli('FLUSHALL') if $what eq 'fresh sends';
    };
}

is(($nginx->workers)[0], $worker, 'all by one worker');
done;
