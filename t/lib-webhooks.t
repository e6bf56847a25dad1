# The stand-ins for both ends of a webhook, and a process's own clock: what the
# other tests rely on them to do.  No module here.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(decode_json);

my $api      = sandbox;
my $receiver = receiver;
my $here     = 'http://127.0.0.1:' . $receiver->port;
my $other    = secret('whsec_another-secret-0123');

sub urls (@urls) { $api->config(webhooks => {endpoints => \@urls}) }
sub got ()       { map { decode_json($_) } bodies($receiver) }
sub tries ($delivery) { join ' ', map { $_->{error} ? 'none' : $_->{status} } @{$delivery->{tries}} }
sub pauses ($delivery) { my @tries = @{$delivery->{tries}}; map { $tries[$_]{time} - $tries[$_ - 1]{time} } 1 .. $#tries }

sub fresh () { $_->reset, $_->clear_faults for $api, $receiver }

# A live message, whose life we decide.
sub send_live () {
    my $answer = client(base => 'https://127.0.0.1:' . $api->port)->post('/v1/messages/send',
        {fromPhoneId => '+15550100001', to => '+15550100099', content => 'x'}, Authorization => 'Bearer ' . live_key);
    return $answer->{json}{data}{id};
}


subtest 'signatures' => sub {
    my @vectors = grep { $_->{gateway} eq 'verified' && defined $_->{secret} && defined $_->{body} }
        @{decode_json(slurp('t/webhook-signatures.json'))->{vectors}};
    cmp_ok(scalar @vectors, '>', 40, 'vectors');
    for my $vector (@vectors) {
        my ($body, $secret) = @$vector{qw(body secret)};
        utf8::encode($_) for $body, $secret;
        my ($t, $v1) = sign($body, secret => $secret, t => $vector->{header} =~ /\bt=(\d+)/ && $1) =~ /\At=(\d+),v1=([0-9a-f]{64})\z/;
        like($vector->{header}, qr/\bv1=$v1/i, $vector->{name});
    }
    my ($now) = sign('x') =~ /\At=(\d+),/;
    cmp_ok(abs($now - time), '<', 5, 'of now');
    isnt(sign('x', t => 1), sign('x', t => 1, secret => $other), 'by another secret');
};

subtest 'events' => sub {
    my $event = decode_json(event('message.sent'));
    is($event->{event}, 'message.sent', 'name');
    like($event->{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'timestamp');
    is($event->{data}{from}, '+15550100001', 'data');
    isnt(decode_json(event('message.sent'))->{data}{messageId}, $event->{data}{messageId}, 'each is another');
    is(decode_json(event('message.sent', {messageId => 'm', a => 1}))->{data}{messageId}, 'm', 'or the one given');
    ok(!exists decode_json(event('message.outgoing'))->{data}{messageId}, 'none where Chatmaid has none');
    isnt(event('phone.connected'), event('phone.connected'), 'other times');
    is(event('phone.connected', {}, 'now'), event('phone.connected', {}, 'now'), 'or the one given');
    is(event('x', undef, 'now'), '{"event":"x","timestamp":"now","data":null}', 'whatever data');
};

subtest 'what happens to messages' => sub {
    fresh;
    urls({url => "$here/hook", secret => webhook_secret});
    my $id = send_live;
    is($receiver->count, 0, 'none while it is pending');
    $api->move($id, $_) for qw(sent delivered read);
    $api->move($id, 'failed', 'NOT_CONNECTED');
    is($api->wait_deliveries, 4, 'delivered');
    is_deeply([sort map { $_->{event} } got], [map { "message.$_" } qw(delivered failed read sent)], 'one for each status');
    is(scalar(grep { $_->{data}{messageId} eq $id } got), 4, 'all of this message');
    is_deeply([map { $_->{data}{errorCode} } grep { $_->{event} eq 'message.failed' } got], ['NOT_CONNECTED'], 'why it failed');

    my $request = $receiver->last;
    is("$request->{method} $request->{target}", 'POST /hook', 'where to');
    is_deeply([$receiver->header($request, 'X-Chatmaid-Event')], [decode_json($request->{body})->{event}], 'its event');
    is_deeply([$receiver->header($request, 'Content-Type')], ['application/json'], 'its type');
    my ($signature) = $receiver->header($request, 'X-Chatmaid-Signature');
    is($signature, sign($request->{body}, t => $signature =~ /t=(\d+)/ && $1), 'signed');
};

subtest 'any event' => sub {
    fresh;
    urls({url => "$here/a", secret => webhook_secret}, {url => "$here/b", secret => $other, events => ['phone.connected']});
    is(scalar @{$api->event('phone.connected')}, 2, 'to all who want it');
    is(scalar @{$api->event('message.received', data => {content => "\x{1F600}"}, timestamp => 'then')}, 1, 'not to others');
    is(scalar @{$api->event('odd', body => "\xff\0not JSON")}, 1, 'other bytes');
    is($api->wait_deliveries, 4, 'delivered');
    is($receiver->count(path => '/b'), 1, 'at the second');
    ok((grep { $_ eq "\xff\0not JSON" } bodies($receiver)), 'byte for byte');
    my ($received) = grep { ($_->{event} // '') eq 'message.received' } map { eval { decode_json($_) } // {} } bodies($receiver);
    is_deeply([$received->{timestamp}, @{$received->{data}}{qw(content type)}], ['then', "\x{1F600}", 'text'], 'as told, and as usual');
    my ($delivery) = $api->deliveries(event => 'phone.connected');
    is($delivery->{url}, "$here/a", 'the journal');
    is_deeply([map { $_->{status} } @{$delivery->{tries}}], [200], 'its tries');
    unlike(join('', map { Mojo::JSON::encode_json($_) } $api->deliveries), qr/whsec_/, 'no secret in it');
};

subtest 'retries' => sub {
    fresh;
    $api->config(webhooks => {endpoints => [{url => "$here/hook", secret => webhook_secret}], scale => 0.0005, timeout => 2});
    $receiver->fault({status => 500}, {close => 'before'}, {status => 302, headers => {Location => '/x'}, body => ''});
    $api->event('message.sent');
    is($api->wait_deliveries, 1, 'delivered');
    my ($delivery) = $api->deliveries;
    is(tries($delivery), '500 none 302 200', 'at the fourth try');
    is(scalar(grep { $_ eq $delivery->{body} } bodies($receiver)), 4, 'the same body each time');
    my @gaps = pauses($delivery);
    cmp_ok($gaps[$_], '>=', (0.03, 0.15, 0.45)[$_], "pause $_") for 0 .. 2;

    fresh;
    $receiver->fault({status => 400}, {hold => 'before'}, {status => 503, times => 2});
    $api->event('message.sent');
    is($api->wait_deliveries, 0, 'in vain');
    is(tries(($api->deliveries(state => 'failed'))[0]), '400 none 503 503', 'no fifth try');
    $receiver->release;

    fresh;
    $receiver->fault({status => 500, times => 0, every => 3});
    $api->event('message.sent') for 1 .. 6;
    $api->wait_deliveries;
    is(join(' ', (map { $_->{status} } $receiver->requests)[0 .. 5]), '200 200 500 200 200 500', 'every third request fails');

    fresh;
    $api->config(webhooks => {retries => [300]});
    $receiver->fault({status => 500});
    $api->event('message.sent');
    $receiver->wait_requests(1);
    $api->reset;
    is(scalar $api->deliveries, 0, 'a reset forgets');
    $api->config(webhooks => {retries => [60, 300, 900]});
};

subtest 'how retries are signed' => sub {
    for my $resign (1, 0) {
        fresh;
        $api->config(webhooks => {resign => $resign, scale => 0.02, retries => [60]});
        $receiver->fault({status => 500});
        $api->event('message.sent');
        is($api->wait_deliveries, 1, 'delivered');
        my @signatures = map { $receiver->header($_, 'X-Chatmaid-Signature') } $receiver->requests;
        is(scalar(keys %{{map { $_ => 1 } @signatures}}), $resign ? 2 : 1, $resign ? 'anew' : 'as the first time');
    }
};

subtest 'over TLS' => sub {
    fresh;
    my $nginx = nginx(no_module => 1, conf => <<'END_CONF');
%HEAD%
http {
    %HTTP%
    server {
        listen 127.0.0.1:%PORT% ssl;
        ssl_certificate     %CRT:edge%;
        ssl_certificate_key %KEY:edge%;
        location / { return 200; }
    }
    server {
        listen 127.0.0.1:%PORT:foreign% ssl;
        ssl_certificate     %CRT:foreign%;
        ssl_certificate_key %KEY:foreign%;
        location / { return 200; }
    }
}
END_CONF
    urls(map { {url => 'https://localhost:' . $nginx->port($_) . '/', secret => webhook_secret} } '', 'foreign');
    $api->config(webhooks => {retries => [], timeout => 60});
    $api->event('message.sent');
    is($api->wait_deliveries, 1, 'verified');
    is(($api->deliveries(state => 'delivered'))[0]{tries}[0]{status}, 200, 'answered');
    like(($api->deliveries(state => 'failed'))[0]{tries}[0]{error}, qr/certificate/, 'not by another CA');
};

subtest 'the receiver' => sub {
    fresh;
    my $bytes = join '', map { chr } 0 .. 255;
    my $http  = client(base => $here);
    is($http->post('/x?a=%2F', $bytes)->{status}, 200, 'takes what comes');
    is($receiver->last->{body}, $bytes, 'byte for byte');
    is($receiver->last->{target}, '/x?a=%2F', 'wherever');
    is(passed($receiver, $bytes), 1, 'once');
    $receiver->fault({status => 418});
    is($http->post('/', '')->{status}, 418, 'or answers as told');
};

subtest 'clocks' => sub {
    my $conf = "%HEAD%\nhttp { %HTTP% server { listen 127.0.0.1:%PORT%; location / { return 200 \$msec; } } }";
    my $clock  = clock;
    my $frozen = clock(at => 1785000000);
    my $plain  = nginx(no_module => 1, conf => $conf, clock => $clock);
    my $ahead  = sub () { get(url('/'))->{body} - time };
    cmp_ok(abs $ahead->(), '<', 5, 'as it is');
    $clock->forward(86400);
    get(url('/'));                              # nginx looks when it wakes up
    cmp_ok(abs($ahead->() - 86400), '<', 5, 'a day ahead');
    cmp_ok(abs($clock->now - time - 86400), '<', 5, 'and says so');

    nginx(no_module => 1, conf => $conf, clock => $frozen);
    is(get(url('/'))->{body}, '1785000000.000', 'standing still');
    $frozen->forward(-100);
    get(url('/'));
    is(get(url('/'))->{body}, '1784999900.000', 'put back');
    $plain->crash;
    $plain->start;
    is(get(url('/'))->{status}, 200, 'killed and started again');
};

done;
