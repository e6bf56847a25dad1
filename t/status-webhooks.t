# What chatmaid_status says of webhooks: verdicts, events, and how old they are.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $forged   = secret('whsec_another-secret-0123');

my $edge = edge(server => <<"END", workers => 2);
    $STATUS
    location = /closed { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; deny all; }
    location = /paged  { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; error_page 401 = /plain; }
    location = /small  { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; client_max_body_size 10; }
    location = /broken { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT:nobody%; }
END

sub verdict ($result) { (qq(chatmaid_webhooks_total{result="$result"}) => 1) }
sub of_event ($event) { (qq(chatmaid_webhook_events_total{event="$event"}) => 1) }
sub aged ()           { (chatmaid_webhook_age_seconds_count => 1) }


my $known = event('message.sent');
counts 'an event', sub { hook($known) }, verdict('verified'), of_event('message.sent'), aged;
counts 'once more', sub { hook($known) }, verdict('duplicate'), of_event('message.sent'), aged;

for my $event (qw(message.delivered message.read message.failed message.received message.outgoing phone.connected phone.disconnected)) {
    counts $event, sub { hook(event($event)) }, verdict('verified'), of_event($event), aged;
}
for my $event ('message', 'message.sent2', 'other', "a\nb", 'x' x 1000) {
    counts 'an unknown event', sub { hook(event($event)) }, verdict('verified'), of_event('other'), aged;
}

my $body = event('message.sent');
my @refused = (
    [missing_signature          => sub { hook($body, 'X-Chatmaid-Signature' => '') }],
    [malformed_signature        => sub { hook($body, 'X-Chatmaid-Signature' => 'x') }],
    [timestamp_out_of_tolerance => sub { hook($body, signed($body, t => time - 7200)) }],
    [signature_mismatch         => sub { hook($body, signed($body, secret => $forged)) }],
    [signature_mismatch         => sub { hook_at('/paged', $body, signed($body, secret => $forged)) }],
    [invalid_json               => sub { hook('{') }],
    [invalid_event              => sub { hook('7') }],
    [method_not_allowed         => sub { get(url('/webhooks/chatmaid')) }],
    [body_too_large             => sub { hook_at('/small', $body) }],
    [forbidden                  => sub { hook_at('/closed', $body) }],
);
for my $case (@refused) {
    my ($result, $run) = @$case;
    counts $result, $run, verdict($result);
}

$receiver->fault({status => 500});
counts 'the receiver fails', sub { hook(event('message.read')) }, verdict('verified'), of_event('message.read'), aged;
counts 'there is none', sub { hook_at('/broken', event('message.read')) }, verdict('verified'), of_event('message.read'), aged;

$receiver->fault({hold => 'before'});
my $slow = event('message.sent');
counts 'two at a time', sub {
    my $first = hook_later($slow);
    $receiver->wait_held(1);
    hook($slow);
    $receiver->release;
    $first->result;
}, verdict('verified'), verdict('delivery_in_flight'), 'chatmaid_webhook_events_total{event="message.sent"}' => 2, chatmaid_webhook_age_seconds_count => 2;

my $before = metrics;
my $old    = event('message.sent');
hook($old, signed($old, t => time - 30));
counted('chatmaid_webhook_age_seconds_count', $before->{chatmaid_webhook_age_seconds_count} + 1, 'an old event');
my $after = metrics;
is($after->{'chatmaid_webhook_age_seconds_bucket{le="25"}'}, $before->{'chatmaid_webhook_age_seconds_bucket{le="25"}'}, 'it is older than 25 s');
cmp_ok($after->{chatmaid_webhook_age_seconds_sum} - $before->{chatmaid_webhook_age_seconds_sum}, '>=', 30, 'and adds its age');

is_deeply([promtool(scrape->{body}, qw(check metrics))], [0, ''], 'promtool has nothing to say');

done;
