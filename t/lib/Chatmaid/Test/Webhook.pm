package Chatmaid::Test::Webhook;

# Webhooks for tests: who sends them, who gets them, and an edge between.
#
#   use Chatmaid::Test;
#   use Chatmaid::Test::Webhook;
#
#   my $receiver = receiver;
#   edge(webhook => 'chatmaid_webhook_tolerance 300s;');
#   my $body = event('message.sent');
#   is(code(hook($body)), 200, 'verified');
#   is($receiver->last->{body}, $body, 'handed on');
#
# edge() takes the options of nginx(), and "webhook": directives of its location
# /webhooks/chatmaid, beside or instead of the usual two.

use Mojo::Base -strict, -signatures;
use Chatmaid::Sandbox::Messages;
use Chatmaid::Sandbox::Webhooks;
use Chatmaid::Test ();
use Chatmaid::Test::Nginx;
use Chatmaid::Test::World qw(fresh_secret wait_for);
use Exporter 'import';
use Time::HiRes qw(time);

our @EXPORT = qw(receiver edge edge_t webhook_secret event sign signed hook hook_at
    hook_again hook_later hook_later_at head code passed bodies);

my $PATH  = '/webhooks/chatmaid';
my $WHOLE = <<'END';
%HEAD%
http {
    %HTTP%
    server {
        listen 127.0.0.1:%PORT%;
        %server%
        location = /webhooks/chatmaid {
            %WEBHOOK%
        }
        location = /plain { return 204; }
    }
    %servers%
}
END

my %DEFAULT = (
    http    => "chatmaid_webhook_secret_file %DIR%/webhook_secret;\n",
    webhook => "chatmaid_webhook on;\nproxy_pass http://127.0.0.1:%API%;\n",
);

# One secret, drawn anew for each test file.
sub webhook_secret () { state $secret = fresh_secret('whsec_') }


# --- Who gets them -----------------------------------------------------------

# A process with the questions and faults of Chatmaid::Test::Api.
sub receiver (%option) { Chatmaid::Test::sandbox(name => 'receiver', plain => 1, %option, receiver => 1) }

# The bodies it got, in order, and how often it got one.
sub bodies ($receiver)        { map { $_->{body} } $receiver->requests }
sub passed ($receiver, $body) { $receiver->count(body => $body) }


# --- The edge ----------------------------------------------------------------

my $edge;

sub configured (%option) {
    my $webhook = Chatmaid::Test::Nginx::merged($DEFAULT{webhook}, delete $option{webhook});
    return (
        conf   => $WHOLE =~ s/%WEBHOOK%/$webhook/r,
        access => '"$chatmaid_webhook|$chatmaid_webhook_event|$chatmaid_webhook_message_id|'
            . '$chatmaid_webhook_timestamp" $http_x_case',
        %option,
        http   => Chatmaid::Test::Nginx::merged($DEFAULT{http}, $option{http}),
        files  => {webhook_secret => webhook_secret . "\n", %{$option{files} // {}}},
    );
}

sub edge (%option)   { $edge = Chatmaid::Test::nginx(configured(%option)) }
sub edge_t (%option) { Chatmaid::Test::nginx_t(configured(%option)) }


# --- Who sends them ----------------------------------------------------------

# An event like none before, unless its messageId or timestamp is given.

sub event ($name, $data = {}, $timestamp = undef) {
    state $serial = 0;
    my $id = sprintf '%s_%06d', $name eq 'message.received' ? 'inmsg' : 'msg', ++$serial;
    $data = {messageId => $id, %$data} if ref $data eq 'HASH' && $name =~ /^message\.(?!outgoing)/;

    return Chatmaid::Sandbox::Webhooks::event($name, $data,
        $timestamp // Chatmaid::Sandbox::Messages::iso(int(time) + $serial / 1000));
}

# The header's value: sign($body, secret => …, t => …).

sub sign ($body, %option) {
    my $t = $option{t} // ($option{clock} ? $option{clock}->now : int time);
    return Chatmaid::Sandbox::Webhooks::sign($body, $option{secret} // webhook_secret, $t);
}

sub signed ($body, %option) { ('X-Chatmaid-Signature' => sign($body, %option)) }

# Headers of a caller's replace those of the same name.  "at" is an edge, or the
# path of another location.

sub url_at ($at) { ref $at ? $at->url($PATH) : $at =~ m{^http} ? $at : $edge->url($at) }

sub hook ($body, @headers)         { hook_at($PATH, $body, @headers) }
sub hook_later ($body, @headers)   { hook_later_at($PATH, $body, @headers) }
sub hook_at ($at, $body, @headers) { hook_later_at($at, $body, @headers)->result }
sub hook_later_at ($at, $body, @headers) {
    return $edge->client->later(POST => url_at($at), $body, signed($body), @headers);
}

# A repeat of an event whose sender may have left, or at another edge than the one
# that answered: for a moment it may still be under way there.

sub hook_again ($at, $body, @headers) {
    return wait_for(sub {
        my $answer = hook_at($at, $body, @headers);
        code($answer) ne '503 delivery_in_flight' && $answer;
    }, 'the delivery to be recorded');
}

# For raw(): the head of such a request.  Options: path, method, signature,
# length (undef is none), lines.

sub head ($body, %option) {
    my $length = exists $option{length} ? $option{length} : length $body;
    return join "\r\n", join(' ', $option{method} // 'POST', $option{path} // $PATH, 'HTTP/1.1'),
        'Host: edge', 'Content-Type: application/json',
        'X-Chatmaid-Signature: ' . ($option{signature} // sign($body)),
        defined $length ? "Content-Length: $length" : (), @{$option{lines} // []}, '', '';
}

# "401 signature_mismatch", or "200".
sub code ($answer) {
    my $json = $answer->{json};
    return join ' ', grep { defined } $answer->{status}, ref $json eq 'HASH' ? $json->{code} : ();
}

1;
