# A poll that has no place in the pace of its account is made later, and costs
# none of the polls that the account has in a minute, a webhook notwithstanding.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);

my $api   = sandbox;
my $nginx = nginx(
    files  => {webhook_secret => webhook_secret . "\n"},
    http   => 'chatmaid_sender +15550100001; chatmaid_webhook_secret_file %DIR%/webhook_secret;',
    server => <<'END');
        location ^~ /free/ { chatmaid_gateway /.chatmaid/; chatmaid_account free; }
        location ^~ /slow/ { chatmaid_gateway /.chatmaid/; chatmaid_account slow; chatmaid_rate 12r/m burst=3; }
        location = /hook   { chatmaid_webhook on; chatmaid_account slow; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /done { return 204; }
END

sub hook ($id) {
    my $body = event('message.read', {messageId => $id});
    is(post(url('/hook'), $body, signed($body))->{status}, 204, 'a webhook');
}

my @ids = map { post(url('/free/send'), message)->{json}{id} } 1 .. 3;

# The burst is used up, and the next place comes after these waits.
my @waits = map { later(GET => url("/slow/messages/$_?wait=4&until=read")) } @ids[0, 1];
$api->wait_requests(1, path => "/v1/messages/$_") for @ids[0, 1];
is(told(get(url('/slow/phones'))), 200, 'a read');
hook($_) for @ids[0, 1];
is($_->result->{headers}{'chatmaid-wait'}, 'timeout', 'a wait ends with what is known') for @waits;

my $wait = later(GET => url("/slow/messages/$ids[2]?wait=40&until=read"));
$api->wait_requests(1, path => "/v1/messages/$ids[2]");
$api->move($ids[2], 'read');
hook($ids[2]);
my $answer = $wait->result;
is(told($answer), 200, 'another wait');
is($answer->{json}{status}, 'read', 'is told of the change');
is($answer->{headers}{'chatmaid-wait'}, undef, 'before its end');

done;
