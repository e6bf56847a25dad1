# script/chatmaid, the operator's tool, on a gateway and an edge with a Redis.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::File qw(path);

my $tool  = path(__FILE__)->to_abs->dirname->dirname->child('script/chatmaid');
my $api   = sandbox(keys => [map { {key => $_, account => 'main'} } test_key, live_key]);
my $redis = redis_server;
my $port  = $redis->port;

# Each file that the module may read, and a password for Redis.
my $password = secret('open-sesame-for-the-tool');
$redis->cli('CONFIG', 'SET', 'requirepass', $password);
my $to_redis = "chatmaid_redis redis://127.0.0.1:$port/3 password_file=%DIR%/password timeout=30s prefix=p[1]:;";

my $nginx = nginx(files => {password => $password,
        'other.conf' => 'location ^~ /other/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_account "other"; }'}, http => "$to_redis chatmaid_retries 0;",
    gateway => 'chatmaid_sender +15550100001; chatmaid_idempotency_scope $http_x_team;', server => <<'END');
    location ^~ /main/  { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; }
    include other*.conf;    # "{" in a comment
END

# (exit status, what it prints).
sub run ($at, @arguments) {
    my @command = $at->program;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        delete $ENV{NGINX};
        $ENV{ASAN_OPTIONS} = 'detect_leaks=0';      # -T ends without cleaning up
        open STDERR, '>&', \*STDOUT;
        exec $tool, '--nginx', "@command", @arguments or POSIX::_exit(127);
    }
    my $said = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, Chatmaid::Test::seen("script/chatmaid @arguments", $said));
}

sub says ($at, $arguments, $status, $pattern, $name) {
    my ($is, $said) = run($at, @$arguments);
    is($is, $status, "$name: status") or diag($said);
    like($said, $pattern, $name);
    return $said;
}

subtest 'records' => sub {
    my ($m, $key) = (message, 'booking/8841');
    my $id = $nginx->post($nginx->url('/main/send'), $m, 'Idempotency-Key' => $key)->{json}{id};
    says($nginx, ['record', $key], 0, qr/\Ap\[1\]:op:[0-9a-f]{64}\n  account      test:\n  state        done\n.*answer       201 .*"$id"/s, 'a record');
    says($nginx, ['record', 'never'], 1, qr/\Ano record of never\n\z/, 'none');
    says($nginx, ['record', $key, '--account', 'other'], 1, qr/no record/, 'none of another account');

    $nginx->post($nginx->url('/other/send'), $m, 'Idempotency-Key' => $key);
    my $both = says($nginx, ['record', $key], 0, qr/account      test:other/, 'of each account');
    is(scalar(() = $both =~ /^  state        done$/mg), 2, 'both');

    post('/send', $m, 'Idempotency-Key' => $key, 'X-Team' => 'mail');
    says($nginx, ['record', $key, '--scope', 'mail', '--account', ''], 0, qr/state        done/, 'in its scope');

    says($nginx, ['ambiguous'], 0, qr/\Anone\n\z/, 'nothing is ambiguous');
    $api->fault(no_answer('before'));
    $nginx->post($nginx->url('/main/send'), message, 'Idempotency-Key' => 'doubtful');
    my ($name) = says($nginx, ['record', 'doubtful'], 0, qr/state        ambiguous/, 'an ambiguous one') =~ /\A(\S+)/;
    says($nginx, ['ambiguous'], 0, qr/\A\d{4}-\d\d-\d\dT[\d:]+Z  \Q$name\E\n\z/, 'is listed, by itself');

    my @before = ([AUTH => $password], [SELECT => 3]);
    my ($old)  = says($nginx, ['record', $key, '--account', 'other'], 0, qr/state        done/, 'a record of today') =~ /\A(\S+)/;
    $redis->cli(@before, DEL => $old);
    $redis->cli(@before, HSET => $old, qw(version 1 state ambiguous begun 1785000000000 lease 1785000008000 owner a maybe 1 fingerprint), 'f' x 64);
    $redis->cli(@before, PEXPIRE => $old, 600000);
    says($nginx, ['record', $key, '--account', 'other'], 0, qr/state        ambiguous\n  begun        2026-07-25T17:20:00Z/, 'one of version 1');

    says($nginx, ['record', $key, '--account', 'other', '--delete'], 0, qr/deleted/, 'deletes');
    says($nginx, ['record', $key, '--account', 'other'], 1, qr/no record/, 'it is gone');
    says($nginx, ['record', $key], 0, qr/state        done/, 'the other one is there');
};

subtest 'webhooks and their inbox' => sub {
    my $edge = edge(files => {password => $password}, http => $to_redis, webhook => '-proxy_pass; chatmaid_webhook_stream events maxlen=100;');
    says($edge, ['inbox', 'status'], 0, qr/\Aevents: 0 entries\n  no group reads it\n\z/, 'an empty stream');
    says($edge, ['webhook', 'message.read', '--message', 'msg_1'], 0,
        qr{\APOST http://127\.0\.0\.1:\d+/webhooks/chatmaid\n\{"event":"message\.read".*^HTTP/1\.1 200 }ms, 'a webhook is taken');
    my ($entry) = says($edge, ['inbox', 'peek'], 0, qr/\Aevents:\n  \d+-\d+  message\.read  \{.*"messageId":"msg_1".*\n\z/, 'it is in the inbox')
        =~ /(\d+-\d+)/;
    says($edge, ['webhook', 'phone.connected'], 0, qr/^HTTP\/1\.1 200 /m, 'another');
    says($edge, ['inbox', 'peek', 1], 0, qr/\Aevents:\n  \S+  phone\.connected .*\n\z/, 'the newest');

    $redis->cli([AUTH => $password], [SELECT => 3], qw(XGROUP CREATE events mailroom 0));
    $redis->cli([AUTH => $password], [SELECT => 3], qw(XREADGROUP GROUP mailroom w COUNT 1 STREAMS events >));
    says($edge, ['inbox', 'status'], 0, qr/\Aevents: 2 entries\n  mailroom: \S+ new, 1 not acknowledged since \S+Z, 1 consumers\n\z/, 'who reads it');
    says($edge, ['inbox', 'replay', $entry], 0, qr/\Aevents: \d+-\d+ is $entry once more\n\z/, 'an entry once more');
    says($edge, ['inbox', 'status'], 0, qr/\Aevents: 3 entries/, 'it is there');
    says($edge, ['inbox', 'replay', '1-1'], 1, qr/\Ano entry 1-1\n\z/, 'an unknown one');
    says($nginx, ['inbox', 'status'], 1, qr/no webhook location has a chatmaid_webhook_stream/, 'no stream');
    says($nginx, ['webhook', 'message.read'], 1, qr/no location has chatmaid_webhook on/, 'no edge');

    spurt($edge->dir . '/webhook_secret', "whsec_of_somebody_else\n");
    says($edge, ['webhook', 'message.read'], 1, qr/^HTTP\/1\.1 401 .*signature_mismatch/ms, 'refused');
};

subtest 'check' => sub {
    my $said = says($nginx, ['check'], 0, qr/^ok    .*api_key: mode 0600$/m, 'all is well');
    unlike($said, qr/^BAD/m, 'nothing is bad');
    like($said, qr/^ok    developers-api\.chatmaid\.net at 127\.0\.0\.1:\d+: TLS is verified$/m, 'TLS');
    like($said, qr/^ok    the clock is that of/m, 'the clock');
    like($said, qr/^ok    Redis: $_/m, $_) for 'a master', 'its clock', 'EVAL is allowed', 'PING is allowed';

    chmod 0644, $nginx->dir . '/api_key';
    says($nginx, ['check'], 1, qr/^BAD   .*api_key: mode 0644 lets others read or change it$/m, 'a mode');
    chmod 0600, $nginx->dir . '/api_key';

    my $foreign = sandbox(cert => 'foreign');
    my $other = nginx(name => 'foreign', api => $foreign, http => "$to_redis", files => {password => $password});
    says($other, ['check'], 1, qr/^BAD   developers-api\.chatmaid\.net at .*: verify error/m, 'an authority that is not ours');

    $redis->cli([AUTH => $password], qw(ACL SETUSER little on >little-sesame ~p[1]:* nocommands +role +ping +select));
    my $little = nginx(name => 'little', api => $api, files => {password => 'little-sesame'},
        http => $to_redis =~ s{redis://}{redis://little@}r);
    says($little, ['check'], 1, qr/^BAD   Redis: EVAL: Redis says: NOPERM/m, 'a user who may not');
};

subtest 'what it can not do' => sub {
    my $alone = nginx(name => 'alone', api => $api);
    says($alone, ['record', 'a'], 1, qr/there is no chatmaid_redis/, 'no Redis');
    says($alone, ['check'], 0, qr/TLS is verified/, 'but a check');
    says($alone, ['nonsense'], 2, qr/^chatmaid record KEY/m, 'usage');
    says($alone, ['record'], 2, qr/^chatmaid record KEY/m, 'no key');
    says($alone, ['inbox', 'nonsense'], 2, qr/^chatmaid inbox peek/m, 'no such thing');
    $alone->expect(qr/unexpected end of file/, 'a broken configuration');
    spurt($alone->dir . '/nginx.conf', 'nonsense');
    says($alone, ['check'], 1, qr/-T` fails: run it to see why/, 'a broken configuration');
    $alone->write;
};

subtest 'TLS, a socket, Sentinels' => sub {
    my $tls = redis_server(tls => 'good');
    for my $url ('rediss://localhost:' . $tls->port . ' ca_file=%CA%', 'unix:' . $redis->socket . ':3 password_file=%DIR%/password') {
        my $nginx = nginx(name => 'way' . ($url =~ /^(\w+)/)[0], api => $api, files => {password => $password}, http => "chatmaid_redis $url timeout=30s;",
            gateway => 'chatmaid_sender +15550100001;');
        post('/send', message, 'Idempotency-Key' => 'by-another-way');
        says($nginx, ['record', 'by-another-way'], 0, qr/state        done/, $url =~ s/ .*//r);
    }
};

done;
