# The test library itself: a helper that finds nothing proves nothing, so what
# it must find is planted here.

use Chatmaid::Test;
use Chatmaid::Test::Nginx;
use Chatmaid::Test::Redis;
use Chatmaid::Test::World qw(leaks_in leaks_seen processes);
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(time);

# No module here: a plain nginx that passes on to the sandbox.
my $conf = <<'END';
%HEAD%
http {
    %HTTP%
    server {
        listen 127.0.0.1:%PORT%;
        location = /hello { return 200 "hello"; }
        location / { proxy_pass http://127.0.0.1:%API%; proxy_http_version 1.1; }
    }
}
END

my $api   = sandbox(plain => 1);
my $nginx = nginx(conf => $conf, no_module => 1, workers => 2);


subtest 'callers' => sub {
    is(get(url('/hello'))->{body}, 'hello', 'get');
    is(get(url('/hello'))->{headers}{'content-length'}, 5, 'headers');
    is(request(HEAD => url('/hello'))->{headers}{'content-length'}, 5, 'HEAD');
    is(post(url('/v1/x'), {a => 1}, 'X-A' => [1, 2], 'Content-Type' => undef)->{status}, 401, 'post');
    is_deeply([$api->header($api->last, 'X-A')], [1, 2], 'repeated header');
    is($api->header($api->last, 'Content-Type'), 0, 'header left out');
    is($api->last->{body}, '{"a":1}', 'body');
    is(client(base => 'http://127.0.0.1:' . port('nobody'))->get('/')->{status}, 0, 'nobody there');

    my $client = client(keepalive => 1);
    $client->get(url('/hello')) for 1 .. 3;
    is(raw("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")->{body}, 'hello', 'raw');
    is(raw("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n")->{body}, '', 'raw HEAD');
    is(raw([split //, "GET /hello HTTP/1.0\r\n\r\n"], gap => 0)->{body}, 'hello', 'byte by byte');
    is(raw("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" x 2 . "GET /hello HTTP/1.0\r\n\r\n", all => 1)->{raw}
        =~ s/.*?\bhello\b//gsr, '', 'pipeline');
    is(raw("GET", deadline => 0.05)->{error}, 'deadline', 'deadline');
    is(raw("POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", abort => 'close')->{error},
        'close', 'hang up');
    ok(wait_for(sub { $nginx->access_log =~ /"POST \/v1\/x HTTP\/1.1" 400/ }), 'which nginx notices');

    $api->fault({hold => 'before'});
    my $held = later(GET => url('/v1/y'));
    $api->wait_held;
    is(get(url('/v1/z'))->{status}, 401, 'another meanwhile');
    ok(!$held->done, 'the first one waits');
    raw(["GET /v1/u HTTP/1.1\r\nHost: a\r\n\r\n", sub { $api->wait_requests(1, path => '/v1/u') }],
        abort => 'reset');
    $api->release;
    is($held->result->{status}, 401, 'and ends');
};

subtest 'nginx' => sub {
    my @old = $nginx->workers;
    is(scalar @old, 2, 'two workers');
    cmp_ok($nginx->rss($old[0]), '>', 500, 'rss');
    cmp_ok($nginx->fds($old[0]), '>', 3, 'descriptors');
    $nginx->reload;
    ok(!(grep { my $pid = $_; grep { $_ == $pid } @old } $nginx->workers), 'others after a reload');
    is(get(url('/hello'))->{status}, 200, 'which serve');
    ok(!eval { $nginx->configure(conf => 'nonsense;')->reload }, 'a bad configuration');
    $nginx->expect(qr/"nonsense"/, 'planted');
    is(get(url('/hello'))->{status}, 200, 'does no harm');
    $nginx->configure(conf => $conf)->kill_workers;
    is(get(url('/hello'))->{status}, 200, 'workers killed');
    $nginx->crash->start;
    is(get(url('/hello'))->{status}, 200, 'all killed, started again');
    ok($nginx->stop, 'stopped');
    is($nginx->status, 0, 'status');
    $nginx->start;

    my ($code, $said) = nginx_t(conf => 'nonsense;');
    is($code, 1, 'nginx -t fails');
    like($said, qr/unknown directive "nonsense"/, 'and says why');

    my $plain = plain_chatmaid;
    is(client(base => 'https://127.0.0.1:' . $plain->port)->post('/v1/messages/send', {})->{json}{data}{status},
        'sent', 'as Chatmaid');
};

subtest 'configuration' => sub {
    my $merged = \&Chatmaid::Test::Nginx::merged;
    is($merged->("a 1;\nb 2;", ''), "a 1;\nb 2;", 'defaults');
    is($merged->("a 1;\nb 2;", 'a 3; c 4;') =~ s/\s+/ /gr, 'b 2; a 3; c 4;', 'replaced');
    is($merged->("a 1;\nb 2;", '-a;'), 'b 2;', 'taken away');
    is($merged->("proxy_set_header A 1;\nproxy_set_header B 2;", 'proxy_set_header B 3;') =~ s/\s+/ /gr,
        'proxy_set_header A 1; proxy_set_header B 3;', 'one header of several');
    is(port('a'), port('a'), 'a named port stays');
    isnt(port('a'), port('b'), 'others differ');
    is((stat $nginx->file('secret', 'x'))[2] & 0777, 0600, 'mode of a file');
    is(do { local $ENV{CHATMAID_VOLUME} = 0.02; volume(1000) }, 20, 'volume');
    is(do { local $ENV{CHATMAID_VOLUME} = 0.02; volume(10, 5) }, 5, 'least volume');
    ok(!eval { wait_for(sub { 0 }, 'nothing', 0.05) }, 'waiting ends');
    like($@, qr/in vain for nothing/, 'and says for what');
};

subtest 'what must be found' => sub {
    my $key = api_key('live');
    ok(leaks_in("a $key b"), 'a key');
    ok(leaks_in('a ' . unpack('H*', $key) . ' b'), 'in hex');
    ok(leaks_in(encode_base64('x' x $_ . "$key and more", '')), "in base64 after $_ bytes") for 0 .. 3;
    ok(leaks_in(encode_base64("Bearer $key", '')), 'in base64 with the scheme');
    ok(!leaks_in('sk_live_' . 'a' x 24), 'no other');

    my $log   = $nginx->dir . '/error.log';
    my $clean = slurp($log);
    for my $line ('1 [alert] 2#2: x', '1 [emerg] 2#2: x', 'SUMMARY: AddressSanitizer: x',
            'a.c:1: runtime error: x', '[notice] 1#1: worker process 2 exited with code 1') {
        spurt($log, "$clean$line\n");
        is(join(',', $nginx->unexpected), $line, $line);
    }
    spurt($log, $clean);
    is(join(',', $nginx->unexpected), '', 'nothing else');
};

subtest 'a Redis with a slow disk' => sub {
    local $ENV{CHATMAID_FSYNC} = 300;
    my $redis = redis_server(args => [qw(--appendonly yes --appendfsync always)]);
    my $start = time;
    is($redis->cli('SET', 'k', 'v'), 'OK', 'writes');
    cmp_ok(time - $start, '>=', 0.3, 'and waits for it');
    $start = time;
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
    $redis->start;
    is(wait_for(sub { my $v = $redis->cli('GET', 'k'); $v =~ /LOADING/ ? '' : $v }), 'v', 'started again: it is there');
};

# A test that ends in any way takes its processes with it.
subtest 'no process is left' => sub {
    my $script = spurt(dir . '/dies.t', <<'END');
use Chatmaid::Test;
my $api   = sandbox(plain => 1);
my $nginx = nginx(conf => "%HEAD%\nhttp { %HTTP% server { listen 127.0.0.1:%PORT%; } }", no_module => 1);
$| = 1;
print join(' ', $api->pid, $nginx->pid, $nginx->workers), "\n";
die "planted\n" if $ARGV[0] eq 'die';
sleep 60;
END
    for my $how (qw(die TERM KILL)) {
        my $out   = dir . "/$how.out";
        my $child = process($how, output => $out,
            command => ['env', 'TMPDIR=' . dir, $^X, '-It/lib', $script, $how]);
        my $pids  = wait_for(sub { slurp($out) =~ /^(\d+ \d+ \d+)\n/m && $1 }, 'it to start');
        kill $how, $child->pid unless $how eq 'die';
        ok(wait_for(sub { !$child->alive && !grep { length Chatmaid::Test::Nginx::title_of($_) } split / /, $pids }), $how);
    }
};

done;
